"""`login`: makes an API key for this machine and keeps it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx
import typer

from cli.api import Api
from cli.console import out, safe
from cli.credentials import ApiKey, find_url, request_token
from cli.stack.files import write_json
from cli.stack.layout import Home

_KEY_LIFE = timedelta(days=90)


def register(app: typer.Typer) -> None:
    app.command()(login)


def login(
    url: Annotated[str | None, typer.Option(help="Where Quarterdeck runs. Default: the stack on this machine.")] = None,
    email: Annotated[str | None, typer.Option(help="Asked for if not given.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Keep this key instead of making one.")] = None,
) -> None:
    """Sign in and keep an API key for later commands.

    On the machine where `quarterdeck up` ran this is not needed: the command signs in with the demo account by itself.
    The key holds what you may do, for 90 days, in a file that only you can read.
    """
    home = Home.from_environment()
    url = (url or find_url(home)).rstrip("/")
    if api_key is None:
        email = email or typer.prompt("Email")
        api_key = _make_key(url, str(email), typer.prompt("Password", hide_input=True))
    with Api(url, ApiKey(api_key)) as api:
        me = api.get("/users/me")
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(home.login_file, {"url": url, "email": me["email"], "api_key": api_key})
    who = f"{me['email']}, {me['role']} of {me['tenant']['name']}"
    out.print(safe(f"Signed in at {url} as {who}."), highlight=False)


def _make_key(url: str, email: str, password: str) -> str:
    with httpx.Client(base_url=f"{url}/api/v1") as http:
        token = request_token(http, "/auth/login", {"email": email, "password": password})["access_token"]
    with Api(url, ApiKey(token)) as api:
        permissions = api.get("/users/me")["permissions"]
        expires_at = datetime.now(UTC) + _KEY_LIFE
        name = "quarterdeck command"
        return api.post("/api-keys", {"name": name, "scopes": permissions, "expires_at": expires_at.isoformat()})["key"]
