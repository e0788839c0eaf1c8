"""What the steps that ask a person have in common."""

from services.orchestration.engine.ports import Audience, WaitRecord
from shared.kit.json import JsonObject
from shared.workflow.configs.people import AskingConfig


def audience(config: AskingConfig) -> Audience:
    first, then = config.assignee, config.escalate
    return Audience(
        user_id=first and first.user_id,
        role=first and first.role,
        escalate_after=then and seconds(then.after_ms),
        escalate_user_id=then and then.assignee.user_id,
        escalate_role=then and then.assignee.role,
    )


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def by_and_at(wait: WaitRecord) -> JsonObject:
    """Who answered and when; null when nobody did."""
    answer = wait.answer
    return {
        "by": None if answer is None or answer.by is None else str(answer.by),
        "at": None if answer is None or answer.at is None else answer.at.isoformat(),
    }
