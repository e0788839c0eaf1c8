"""The one retry policy for model providers. Nothing above or below it repeats a call."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from shared.llm import errors
from shared.llm.circuit import Circuit, CircuitOpen
from shared.llm.errors import ProviderError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` bounds all tries, `output_attempts` those spent on a model that writes nonsense.

    The n-th pause is `base * 2**n` seconds, at most `longest`, give or take half of it so that callers which failed
    together do not come back together. A provider's `Retry-After` is honoured up to `longest_asked` seconds;
    one that asks for more has its error handed on at once, since a worker is no place to sleep in.
    """

    attempts: int = 4
    output_attempts: int = 2
    base: float = 0.5
    longest: float = 8.0
    longest_asked: float = 30.0
    circuit_patience: float = 30.0

    def pause(self, error: ProviderError, attempt: int) -> float | None:
        """How long to wait before the next try; None if there is none to be made."""
        allowed = self.output_attempts if error.code == "model_output_invalid" else self.attempts
        if not error.retryable or attempt >= allowed:
            return None
        backoff = min(self.base * 2 ** (attempt - 1), self.longest) * random.uniform(0.5, 1.5)
        if error.retry_after is None:
            return backoff
        # Never earlier than asked, and not all at the same moment either.
        return None if error.retry_after > self.longest_asked else error.retry_after + backoff / 2


async def run(
    attempt: Callable[[], Awaitable[T]], *, label: str, policy: RetryPolicy, circuit: Circuit, deadline: float
) -> T:
    """Tries until it works, the policy says no, or `deadline` seconds are over. Raises `ProviderError`."""
    ends_at = time.monotonic() + deadline
    tries = 0
    while True:
        tries += 1
        try:
            return await _once(attempt, label, policy, circuit, ends_at)
        except CircuitOpen as closed:
            raise _unavailable(label, closed.retry_after) from closed
        except ProviderError as error:
            pause = policy.pause(error, tries)
            if pause is None or time.monotonic() + pause >= ends_at:
                raise _counted(error, tries) from error.__cause__
        await asyncio.sleep(pause)


async def _once(
    attempt: Callable[[], Awaitable[T]], label: str, policy: RetryPolicy, circuit: Circuit, ends_at: float
) -> T:
    left = ends_at - time.monotonic()
    deciding = await circuit.admit(min(policy.circuit_patience, left))
    try:
        async with asyncio.timeout(ends_at - time.monotonic()):
            result = await attempt()
    except TimeoutError as error:
        circuit.failed(deciding)
        raise errors.silent(label) from error
    except ProviderError as error:
        # A refusal is an answer: the endpoint works.
        (circuit.failed if error.unhealthy else circuit.succeeded)(deciding)
        raise
    except BaseException:
        circuit.abandoned(deciding)
        raise
    circuit.succeeded(deciding)
    return result


def _unavailable(label: str, retry_after: float) -> ProviderError:
    return ProviderError(
        label,
        "keeps failing, no further try for now",
        code="provider_unavailable",
        retryable=True,
        retry_after=retry_after,
    )


def _counted(error: ProviderError, tries: int) -> ProviderError:
    """The error with the number of tries in its words."""
    if tries == 1:
        return error
    return ProviderError(
        error.provider,
        f"{error.cause} (tried {tries} times)",
        code=error.code,
        retryable=error.retryable,
        retry_after=error.retry_after,
        status=error.status,
        unhealthy=error.unhealthy,
    )
