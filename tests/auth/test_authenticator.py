"""What a proof costs, and how long it lasts."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from shared.auth.authenticator import Authenticator
from shared.auth.errors import NotAuthenticated
from tests.support.platform import Account, Platform


@pytest.fixture
def fresh(platform: Platform) -> Authenticator:
    return Authenticator(platform.resources.database, platform.resources.tokens)


@contextmanager
def counting_proofs(fresh: Authenticator, monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    proofs: list[str] = []
    prove = fresh._prove

    async def counting(credential: str) -> object:
        proofs.append(credential)
        return await prove(credential)

    monkeypatch.setattr(fresh, "_prove", counting)
    yield proofs


async def test_many_requests_at_once_ask_the_database_once(
    fresh: Authenticator, ada: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counting_proofs(fresh, monkeypatch) as proofs:
        headers = [ada.headers["Authorization"], bob.headers["Authorization"]] * 50
        principals = await asyncio.gather(*(fresh.authenticate(header) for header in headers))
        assert sorted(proofs) == sorted([ada.token, bob.token])
        assert [principal.user_id for principal in principals[:2]] == [ada.user_id, bob.user_id]
        assert len({principal.user_id for principal in principals}) == 2
        await fresh.authenticate(headers[0])
        assert len(proofs) == 2  # remembered
    assert not fresh._under_way


async def test_all_who_wait_are_refused_together_and_nothing_is_remembered(
    fresh: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counting_proofs(fresh, monkeypatch) as proofs:
        waiting = (fresh.authenticate("Bearer nonsense") for _ in range(20))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, NotAuthenticated) for result in results)
        assert len(proofs) == 1
        with pytest.raises(NotAuthenticated):
            await fresh.authenticate("Bearer nonsense")
        assert len(proofs) == 2


async def test_one_who_leaves_does_not_take_the_proof_from_the_others(fresh: Authenticator, ada: Account) -> None:
    first = asyncio.ensure_future(fresh.authenticate(ada.headers["Authorization"]))
    second = asyncio.ensure_future(fresh.authenticate(ada.headers["Authorization"]))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).user_id == ada.user_id
    assert first.cancelled()
