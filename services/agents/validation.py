"""Whether the tenant has what an agent asks for, and whether its texts can be made."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from services.agents import repository
from services.agents.errors import AgentInvalid
from services.agents.schemas import AgentIn
from shared.database.session import WriteSession
from shared.database.tables.models import Model
from shared.llm.settings import ModelKind
from shared.tools.catalogue import CATALOGUE, KNOWLEDGE_SEARCH
from shared.web.errors import ErrorDetail
from shared.workflow.expressions import ExpressionError, compile_template

_TEMPLATES = ("role", "goal", "backstory")


async def check(session: WriteSession, wanted: AgentIn) -> None:
    """Raises `AgentInvalid` with all that is wrong. What was found stays there until the transaction ends."""
    problems = [
        *_template_problems(wanted),
        *_model_problems(wanted, await repository.hold_model(session, wanted.model_id)),
        *_tool_problems(wanted, await _known_tools(session, wanted)),
        *_approval_problems(wanted),
        *await _knowledge_problems(session, wanted),
    ]
    if problems:
        raise AgentInvalid(details=problems)


def _template_problems(wanted: AgentIn) -> Iterator[ErrorDetail]:
    for field in _TEMPLATES:
        try:
            template = compile_template(getattr(wanted, field))
        except ExpressionError as error:
            yield ErrorDetail(field=field, message=error.message, code="template_invalid")
            continue
        for root in sorted({str(path[0]) for path in template.paths} - {"inputs"}):
            message = f"may refer to inputs alone, not to {root!r}"
            yield ErrorDetail(field=field, message=message, code="template_invalid")


def _model_problems(wanted: AgentIn, model: Model | None) -> Iterator[ErrorDetail]:
    if model is None:
        yield ErrorDetail(field="model_id", message="there is no such model", code="model_unknown")
    elif model.kind != ModelKind.CHAT:
        message = f"{model.name} is of kind {model.kind}, and an agent needs a chat model"
        yield ErrorDetail(field="model_id", message=message, code="model_kind_wrong")
    elif wanted.max_tokens is not None and wanted.max_tokens >= model.context_window:
        message = f"{model.name} holds {model.context_window} tokens, question and answer together"
        yield ErrorDetail(field="max_tokens", message=message, code="max_tokens_too_large")


async def _known_tools(session: WriteSession, wanted: AgentIn) -> AbstractSet[str]:
    own = [name for name in wanted.tools if name not in CATALOGUE]
    return CATALOGUE.keys() | (await repository.hold_tools(session, own) if own else set())


def _tool_problems(wanted: AgentIn, known: AbstractSet[str]) -> Iterator[ErrorDetail]:
    for index, name in enumerate(wanted.tools):
        if name not in known:
            message = f"there is no tool {name!r}: see /tools for those there are"
            yield ErrorDetail(field=f"tools.{index}", message=message, code="tool_unknown")


def _approval_problems(wanted: AgentIn) -> Iterator[ErrorDetail]:
    given = {*wanted.tools, *((KNOWLEDGE_SEARCH,) if wanted.knowledge_base_ids else ())}
    for index, name in enumerate(wanted.approve_tools):
        if name not in given:
            message = f"{name!r} is not one of the agent's tools"
            yield ErrorDetail(field=f"approve_tools.{index}", message=message, code="tool_not_given")


async def _knowledge_problems(session: WriteSession, wanted: AgentIn) -> list[ErrorDetail]:
    held = await repository.hold_knowledge_bases(session, wanted.knowledge_base_ids)
    return [
        ErrorDetail(
            field=f"knowledge_base_ids.{index}",
            message="there is no such knowledge base",
            code="knowledge_base_unknown",
        )
        for index, base_id in enumerate(wanted.knowledge_base_ids)
        if base_id not in held
    ]
