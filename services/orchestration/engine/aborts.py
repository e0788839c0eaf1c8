"""Why a step may not go on. Nothing that an agent library catches: see `StepAborted`."""

from services.orchestration.engine.ports import StepAborted


class JournalDiverged(StepAborted):
    """The step asked something else than it did before: its code is not deterministic, or it has changed."""


class CallInDoubt(StepAborted):
    """A call that must not be made twice was begun, and nobody knows whether it came to pass."""


class StepStopped(StepAborted):
    """The attempt is over, or the execution lost: whatever of it is still running may do no more."""


class StepSuspended(StepAborted):
    """The step waits for something. It goes on, from its start and by its records, when that has come."""
