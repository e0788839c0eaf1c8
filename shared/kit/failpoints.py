"""Named points of the code at which a drill can have the process killed, frozen, held up or failed.

Off unless the environment says otherwise, and then a point costs one look at a constant:

    QUARTERDECK_FAILPOINTS="ledger.write.after=kill@3;call.made=delay:0.5"

`kill` and `freeze` send this process SIGKILL or SIGSTOP, `delay:SECONDS` waits, `error` raises `FailpointError`. With
`@N` it happens the Nth time the point is reached and never again, else every time.

At a point: `if failpoints.armed: await failpoints.reach("call.made")`.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Final, Literal

VARIABLE: Final = "QUARTERDECK_FAILPOINTS"

POINTS: Final = {
    "call.before": "what a step asks of the world is about to be asked; a `once` call is on record as started",
    "call.made": "it was answered, and the answer is not on record",
    "ledger.write.before": "the engine has a batch to write",
    "ledger.write.after": "the batch is durable, and nobody in this process knows yet",
    "ledger.end.before": "the batch that ends an execution, or hands it over, is about to be written",
    "ledger.end.after": "it is durable, and the worker still holds the execution",
    "ledger.commit.before": "a transaction with what several executions have to write is about to be sent",
    "ledger.commit.after": "it is committed, and its events are not published",
    "claim.taken": "executions are this worker's, which has not read them",
    "claim.opened": "they are read, and not begun",
    "worker.release": "an execution is about to be given back",
    "worker.heartbeat": "leases are about to be renewed",
}

Action = Literal["kill", "freeze", "delay", "error"]


class FailpointError(Exception):
    """What a point set to `error` raises."""


@dataclass(slots=True)
class _Armed:
    action: Action
    seconds: float
    only: int | None
    reached: int = 0

    def due(self) -> bool:
        self.reached += 1
        return self.only is None or self.reached == self.only


def parse(text: str) -> dict[str, _Armed]:
    """Raises `ValueError` for a point or an action that there is not: a drill that tests nothing must not pass."""
    return dict(_parse_one(each) for each in text.split(";") if each.strip())


def _parse_one(text: str) -> tuple[str, _Armed]:
    name, _, what = text.strip().partition("=")
    if name not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(POINTS)}")
    action, at, only = what.partition("@")
    action, _, seconds = action.partition(":")
    match action:
        case "kill" | "freeze" | "error" if not seconds:
            return name, _Armed(action, 0.0, _count(text, only) if at else None)
        case "delay":
            return name, _Armed(action, _seconds(text, seconds), _count(text, only) if at else None)
        case _:
            raise _unreadable(text)


def _count(text: str, count: str) -> int:
    if not count.isdecimal() or int(count) == 0:
        raise _unreadable(text)
    return int(count)


def _seconds(text: str, seconds: str) -> float:
    try:
        return float(seconds)
    except ValueError:
        raise _unreadable(text) from None


def _unreadable(text: str) -> ValueError:
    return ValueError(
        f"{VARIABLE}: {text.strip()!r} is not name=kill, freeze, error or delay:SECONDS, with or without @N"
    )


async def reach(name: str) -> None:
    point = _points.get(name)
    if point is None or not point.due():
        return
    match point.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "delay":
            await asyncio.sleep(point.seconds)
        case "error":
            raise FailpointError(name)


_points: Final = parse(os.environ.get(VARIABLE, ""))
armed: Final = bool(_points)
