"""Settings of every process, read once from the environment. Free of side effects."""

import functools
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_cache() -> Path:
    return Path.home() / ".cache" / "quarterdeck"


class Settings(BaseSettings):
    """Names without the prefix are those an operator sets to bring a server of their own.

    The broker's is not called REDIS_URL: crewAI turns its file locks into Redis locks when it sees that name.
    """

    model_config = SettingsConfigDict(env_prefix="QUARTERDECK_", extra="ignore", populate_by_name=True)

    database_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_URL")
    app_database_url: SecretStr = Field(default=SecretStr(""), validation_alias="APP_DATABASE_URL")
    broker_url: SecretStr = Field(default=SecretStr(""), validation_alias="BROKER_URL")
    chroma_url: str = Field(default="", validation_alias="CHROMA_URL")
    llm_base_url: str = Field(default="", validation_alias="LLM_BASE_URL")
    llm_api_key: SecretStr = Field(default=SecretStr(""), validation_alias="LLM_API_KEY")
    llm_model: str = Field(default="local-llm", validation_alias="LLM_MODEL")

    home: Path = Path(".quarterdeck")
    cache: Path = Field(default_factory=_default_cache)
    local_model: Literal["qwen", "smollm", "none"] = "qwen"
    log_level: str = "INFO"
    log_format: Literal["json", "console"] = "json"

    # "kid:base64,kid:base64": 32-byte keys; the first encrypts, all decrypt.
    master_keys: SecretStr = SecretStr("")
    public_url: str = "http://127.0.0.1:8700"
    token_issuer: str = "quarterdeck"
    access_token_seconds: int = 900
    session_days: int = 30
    secure_cookies: bool = False
    cors_origins: str = ""  # comma separated
    allowed_hosts: str = ""  # "host:port,...": private addresses that outbound requests may reach
    upstreams: dict[str, str] = {}

    database_pool_size: int = 20
    # How many executions a worker runs at once; of documents being processed, fewer.
    worker_capacity: int = 100
    worker_ingestion_capacity: int = 2
    worker_code_capacity: int = 4  # how many code steps run at the same moment, each a process
    worker_http_address: str = ""  # "host:port" of a worker's /healthz, /readyz and /metrics; empty: none
    lease_seconds: float = 30.0
    max_attempts: int = 5
    # Of one file, and of files in one request.
    upload_max_bytes: int = 200 * 1024 * 1024
    upload_max_files: int = 50
    # What one tenant may keep, versions that were replaced included. A tenant may set itself lower ones.
    knowledge_max_documents: int = 100_000
    knowledge_max_bytes: int = 50 * 1024**3

    rate_limit: str = "1200/minute"
    rate_limit_anonymous: str = "300/minute"
    rate_limit_credentials: str = "20/minute"


@functools.cache
def get_settings() -> Settings:
    return Settings()
