"""Who the command is to the API: an API key, or the demo account of the machine it runs on."""

import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import httpx

from cli.errors import ApiFailure, CommandError, ExitCode
from cli.stack.files import read_json, write_json
from cli.stack.layout import Home
from cli.stack.state import running_stack

DEFAULT_URL = "http://127.0.0.1:8700"
_EARLY = 30  # seconds before its end at which a token is no longer used


class Credentials(Protocol):
    def token(self, http: httpx.Client) -> str:
        """What to send as the bearer token. `http` speaks to the API that takes it."""
        ...

    def renew(self, http: httpx.Client) -> bool:
        """The token was refused: whether there is another one to try."""
        ...


@dataclass(frozen=True)
class ApiKey:
    key: str

    def token(self, http: httpx.Client) -> str:
        return self.key

    def renew(self, http: httpx.Client) -> bool:
        return False


@dataclass(frozen=True)
class Account:
    """An email address with its password, kept in a file that only its owner reads."""

    email: str
    password: str


class SignIn:
    """Signs in with an account when it must, and keeps the access token for the next command."""

    def __init__(self, home: Home, account: Account) -> None:
        self._file = home.root / "token.json"
        self._account = account

    def token(self, http: httpx.Client) -> str:
        kept = read_json(self._file)
        if kept and kept["email"] == self._account.email and kept["expires_at"] > time.time() + _EARLY:
            return str(kept["access_token"])
        return self._sign_in(http)

    def renew(self, http: httpx.Client) -> bool:
        self._sign_in(http)
        return True

    def _sign_in(self, http: httpx.Client) -> str:
        answer = request_token(http, "/auth/login", asdict(self._account))
        write_json(
            self._file,
            {
                "email": self._account.email,
                "access_token": answer["access_token"],
                "expires_at": time.time() + answer["expires_in"],
            },
        )
        return str(answer["access_token"])


def request_token(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Register or sign in. Raises CommandError with what the service said."""
    try:
        response = http.post(path, json=body)
    except httpx.TransportError as error:
        raise CommandError(
            f"Quarterdeck does not answer at {http.base_url}.",
            "Start it with `quarterdeck up`, or set QUARTERDECK_URL to where it runs.",
            code=ExitCode.UNREACHABLE,
        ) from error
    if not response.is_success:
        raise ApiFailure(response.status_code, response.json() if response.content else {})
    return response.json()


def find_url(home: Home) -> str:
    """QUARTERDECK_URL, or the stack that runs here, or where the last `login` was, or the default."""
    configured = os.environ.get("QUARTERDECK_URL")
    if configured:
        return configured
    running = running_stack(home)
    if running is not None:
        return running.url
    login = read_json(home.login_file)
    return str(login["url"]) if login else DEFAULT_URL


def find_credentials(home: Home, url: str) -> Credentials:
    """QUARTERDECK_API_KEY, or the key of a `login` at this address, or the demo account of the stack run here."""
    key = os.environ.get("QUARTERDECK_API_KEY")
    if key:
        return ApiKey(key)
    login = read_json(home.login_file)
    if login and login["url"] == url:
        return ApiKey(str(login["api_key"]))
    demo = read_json(home.demo_file)
    running = running_stack(home)
    if demo and running is not None and running.url == url:
        return SignIn(home, Account(demo["email"], demo["password"]))
    raise CommandError(
        f"You are not signed in at {url}.",
        "Sign in with `quarterdeck login`, or set QUARTERDECK_API_KEY.",
        code=ExitCode.UNREACHABLE,
    )
