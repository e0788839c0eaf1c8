"""What all steps of one execution share."""

from dataclasses import dataclass
from uuid import UUID

from services.orchestration.engine.budget import ExecutionBudget
from services.orchestration.engine.ending import EndSignal, Reason
from services.orchestration.engine.ports import Outside
from services.orchestration.engine.snapshot import Snapshot
from services.orchestration.engine.writer import LedgerWriter

_HANDED_OVER = (Reason.PARK, Reason.PAUSE)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """`forked`: records that ask something else than what is asked now are passed over, and do not stop the step."""

    execution_id: UUID
    tenant_id: UUID
    outside: Outside
    writer: LedgerWriter
    signal: EndSignal
    snapshot: Snapshot
    budget: ExecutionBudget
    forked: bool = False

    @property
    def handing_over(self) -> bool:
        """The run ends, but the execution does not: what is under way now will be asked for again."""
        return self.signal.ending is not None and self.signal.ending.reason in _HANDED_OVER
