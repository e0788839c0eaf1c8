from collections.abc import Generator

import pytest

from services.orchestration.engine import writer

_LINGER = writer.LINGER


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Generator[None]:
    """Which write has what must not depend on how busy the machine is: only what asks for a write gets one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "LINGER", 3600)
        yield


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes come by themselves after a moment, as they do in earnest."""
    monkeypatch.setattr(writer, "LINGER", _LINGER)
