"""The API as the person who called the command."""

from cli.api import Api
from cli.credentials import find_credentials, find_url
from cli.stack.layout import Home


def connect() -> Api:
    """Where QUARTERDECK_URL or the local stack is, signed in. Raises CommandError when there is no way in."""
    home = Home.from_environment()
    url = find_url(home).rstrip("/")
    return Api(url, find_credentials(home, url))
