"""Where in its step a call stands: calls are numbered within their scope, and scopes follow the asyncio task."""

from contextvars import ContextVar, Token
from types import TracebackType

_scope: ContextVar[str] = ContextVar("quarterdeck_call_scope", default="")


def current_scope() -> str:
    return _scope.get()


class Scope:
    """Keys calls apart. A class, not a generator: it is entered for every task and tool of every agent."""

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        self._name = name
        self._token: Token[str] | None = None

    def __enter__(self) -> None:
        outer = _scope.get()
        self._token = _scope.set(f"{outer}.{self._name}" if outer else self._name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._token is not None:
            _scope.reset(self._token)
