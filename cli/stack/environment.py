"""The environment that every process of the product is started with, made in one place."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from cli.stack.layout import PROJECT_ROOT
from cli.stack.secrets import Secrets

APP_ROLE = "quarterdeck_app"
LOCAL_MODEL_NAME = "local-llm"


@dataclass(frozen=True)
class External:
    """Servers that the operator brings in place of the embedded ones; empty means embedded."""

    database_url: str
    app_database_url: str
    broker_url: str
    chroma_url: str
    llm_base_url: str

    @classmethod
    def from_environment(cls) -> "External":
        names = ("DATABASE_URL", "APP_DATABASE_URL", "BROKER_URL", "CHROMA_URL", "LLM_BASE_URL")
        return cls(*(os.environ.get(name, "") for name in names))

    @property
    def given(self) -> dict[str, str]:
        """The servers among them, by the name of their variable."""
        servers = {
            "DATABASE_URL": self.database_url,
            "BROKER_URL": self.broker_url,
            "CHROMA_URL": self.chroma_url,
            "LLM_BASE_URL": self.llm_base_url,
        }
        return {name: url for name, url in servers.items() if url}


@dataclass(frozen=True)
class Addresses:
    """Where the components of this stack are, embedded or brought."""

    database_url: str
    broker_url: str
    chroma_url: str
    llm_base_url: str
    """Empty: no local model."""
    public_url: str


def build_environment(
    addresses: Addresses, secrets: Secrets, *, home: Path, cache: Path, local_model: str, upstreams: Mapping[str, str]
) -> dict[str, str]:
    """What to add to this process's environment for the API, the services and the worker."""
    external = External.from_environment()
    app_url = external.app_database_url or application_url(addresses.database_url, secrets.app_database_password)
    environment = {
        "DATABASE_URL": addresses.database_url,
        "APP_DATABASE_URL": app_url,
        "BROKER_URL": addresses.broker_url,
        "CHROMA_URL": addresses.chroma_url,
        "LLM_BASE_URL": addresses.llm_base_url,
        "QUARTERDECK_LOCAL_MODEL": local_model,
        "QUARTERDECK_HOME": str(home),
        "QUARTERDECK_CACHE": str(cache),
        "QUARTERDECK_PUBLIC_URL": os.environ.get("QUARTERDECK_PUBLIC_URL", addresses.public_url),
        "QUARTERDECK_MASTER_KEYS": os.environ.get("QUARTERDECK_MASTER_KEYS", f"home:{secrets.master_key}"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
    }
    if not external.llm_base_url:
        environment |= {"LLM_API_KEY": secrets.llm_api_key, "LLM_MODEL": LOCAL_MODEL_NAME}
    if upstreams:
        environment["QUARTERDECK_UPSTREAMS"] = json.dumps(dict(upstreams))
    return environment


def application_url(owner_url: str, password: str) -> str:
    """The same database for the application's own role, which owns nothing and bypasses nothing."""
    parts = urlsplit(owner_url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{APP_ROLE}:{quote(password, safe='')}@{address}"))
