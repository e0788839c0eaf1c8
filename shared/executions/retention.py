"""How long what executions leave is kept, and what is known of what has been taken away."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, ClassVar

from shared.database.tables.ledger import ExecutionRow
from shared.web.errors import Conflict


class Pruned(StrEnum):
    """What an execution can lose when its time is over. `deltas` are streamed text and debug lines of the stream,
    `events` all of the stream but its end, `calls` what was asked and answered, `outputs` what steps were given and
    gave."""

    DELTAS = "deltas"
    EVENTS = "events"
    CALLS = "calls"
    OUTPUTS = "outputs"


# Days from an execution's end, for tenants that set nothing; None keeps. Names as in the policy.
DEFAULT_DAYS: dict[str, int | None] = {
    "delta_days": 7,
    "event_days": 90,
    "call_days": 90,
    "output_days": None,
    "execution_days": None,
}

_OF_THE_STREAM = frozenset((Pruned.DELTAS, Pruned.EVENTS))
_OF_THE_JOURNAL = frozenset((Pruned.CALLS, Pruned.OUTPUTS))


class JournalPruned(Conflict):
    status: ClassVar[int] = 409
    code = "journal_pruned"
    message = "What the execution's steps and calls were given and gave has been removed, as the tenant's policy says."


def require_journal(execution: ExecutionRow) -> None:
    """Raises `JournalPruned` if the execution can no longer be replayed, forked or retried from its records."""
    if _OF_THE_JOURNAL.intersection(execution.pruned or ()):
        raise JournalPruned


def events_pruned_before(pruned: Iterable[str] | None, last_seq: int) -> int | None:
    """Events with a smaller `seq` may be missing because they were pruned; from it on all are there. None: nothing
    was pruned. What is left is in order either way, and the last event of an execution stays."""
    return last_seq if _OF_THE_STREAM.intersection(pruned or ()) else None


def pruned_notice(pruned: Iterable[str], after: int, before: int, at: Any) -> dict[str, Any]:
    """What a stream begins with if some of what would follow `after` was pruned. It is no event of the execution and
    has no `seq` of its own: it repeats the reader's."""
    gone = sorted(_OF_THE_STREAM.intersection(pruned))
    return {"seq": after, "type": "pruned", "at": at, "step": None, "data": {"pruned": gone, "before": before}}
