"""Passwords and keys of the embedded components: made once, kept in the data directory, shown to nobody."""

import base64
import secrets
from dataclasses import asdict, dataclass, fields

from cli.stack.errors import StackError
from cli.stack.files import read_json, write_json
from cli.stack.layout import Home


@dataclass(frozen=True)
class Secrets:
    postgres_password: str
    app_database_password: str
    valkey_password: str
    llm_api_key: str
    master_key: str
    """32 bytes, base64: encrypts what users store, provider keys first of all."""


def load_or_create(home: Home) -> Secrets:
    """The secrets of this data directory. Makes no new ones for data that the lost ones lock."""
    path = home.secrets_file
    if not path.exists():
        if (home.postgres / "data").exists():
            raise StackError(
                f"{path} is missing, but {home.postgres} holds data that only its keys open.",
                f"Restore the file from a backup, or begin anew with `mv {home.root} {home.root}.old`.",
            )
        made = _generate()
        write_json(path, asdict(made))
        return made
    stored = read_json(path)
    names = {field.name for field in fields(Secrets)}
    if not isinstance(stored, dict) or not names <= stored.keys():  # pyright: ignore[reportUnknownMemberType]
        raise StackError(f"{path} is damaged.", "Restore it from a backup: without it the stored keys stay locked.")
    return Secrets(**{name: str(stored[name]) for name in names})  # pyright: ignore[reportUnknownArgumentType]


def _generate() -> Secrets:
    return Secrets(
        postgres_password=secrets.token_urlsafe(24),
        app_database_password=secrets.token_urlsafe(24),
        valkey_password=secrets.token_urlsafe(24),
        llm_api_key=secrets.token_urlsafe(24),
        master_key=base64.b64encode(secrets.token_bytes(32)).decode(),
    )
