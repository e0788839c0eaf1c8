"""Tools of a tenant's own, listed together with those that come with the product."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.tools.tools import repository, validation
from services.tools.tools.errors import ToolInUse, ToolNameTaken, ToolNotFound
from services.tools.tools.repository import Filters
from services.tools.tools.schemas import ToolIn, ToolKind, ToolOut, ToolSort
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.tools import Tool
from shared.kit.ids import new_id
from shared.net.policy import EgressPolicy
from shared.tools.catalogue import CATALOGUE, RESERVED_NAMES, BuiltinTool
from shared.tools.definitions import TOOL_NAME, HttpToolConfig
from shared.tools.records import definition_of
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page
from shared.workflow.states import Effect

_NAMED_USERS = 20


async def list_tools(
    session: ReadSession, filters: Filters, sort: ToolSort, limit: int, cursor: str | None
) -> Page[ToolOut]:
    """Names are unique over both kinds, so the name is the whole key."""
    after: str | None = decode_cursor(cursor, _name)[0] if cursor else None
    rows = await repository.tools(session, filters, sort, after, limit + 1)
    found = [*map(out, rows), *_builtins(filters, sort, after)]
    found.sort(key=lambda tool: tool.name, reverse=sort is ToolSort.NAME_DOWN)
    return page(found[: limit + 1], limit, lambda tool: tool, lambda tool: (tool.name,))


async def get(session: ReadSession, tool_id: UUID) -> ToolOut:
    return out(await find(session, tool_id))


async def find(session: ReadSession, tool_id: UUID) -> Tool:
    tool = await repository.get_tool(session, tool_id)
    if tool is None:
        raise ToolNotFound
    return tool


async def create(session: WriteSession, policy: EgressPolicy, caller: Principal, wanted: ToolIn) -> ToolOut:
    tool = Tool(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id)
    await validation.check(session, policy, wanted)
    session.add(tool)
    return await _save(session, tool, wanted)


async def update(session: WriteSession, policy: EgressPolicy, tool_id: UUID, wanted: ToolIn) -> ToolOut:
    """Raises `ToolInUse` for another name while something calls it by the one it has."""
    tool = await repository.lock_tool(session, tool_id)
    if tool is None:
        raise ToolNotFound
    if wanted.name != tool.name:
        await _refuse_while_used(session, tool)
    await validation.check(session, policy, wanted)
    tool.version += 1
    return await _save(session, tool, wanted)


async def delete(session: WriteSession, tool_id: UUID) -> None:
    """Executions that use it go on: they have its definition."""
    tool = await repository.lock_tool(session, tool_id)
    if tool is None:
        raise ToolNotFound
    await _refuse_while_used(session, tool)
    await session.delete(tool)


async def _refuse_while_used(session: ReadSession, tool: Tool) -> None:
    users = [
        *(("agents", *user) for user in await repository.agents_using(session, tool.name, _NAMED_USERS)),
        *(("workflows", *user) for user in await repository.workflows_using(session, tool.name, _NAMED_USERS)),
    ]
    if users:
        raise ToolInUse(
            details=[ErrorDetail(field=f"{kind}.{id_}", message=name, code="uses_tool") for kind, id_, name in users]
        )


async def _save(session: WriteSession, tool: Tool, wanted: ToolIn) -> ToolOut:
    if wanted.name in RESERVED_NAMES:
        raise ToolNameTaken
    for column, value in _columns(wanted).items():
        setattr(tool, column, value)
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, "uq_tools_tenant_id_name"):
            raise ToolNameTaken from error
        raise
    await session.refresh(tool)
    return out(tool)


def _columns(wanted: ToolIn) -> dict[str, Any]:
    config = wanted.config.dump()
    del config["connection_id"]
    return {
        "name": wanted.name,
        "description": wanted.description,
        "parameters": wanted.parameters,
        "effect": wanted.effect.value,
        "needs_approval": wanted.needs_approval,
        "kind": wanted.kind,
        "config": config,
        "connection_id": wanted.config.connection_id,
    }


def _builtins(filters: Filters, sort: ToolSort, after: str | None) -> Iterator[ToolOut]:
    if filters.kind not in (None, ToolKind.BUILTIN):
        return
    looked_for = (filters.q or "").lower()
    for tool in CATALOGUE.values():
        if after is not None and (tool.name >= after if sort is ToolSort.NAME_DOWN else tool.name <= after):
            continue
        if looked_for not in f"{tool.name}\n{tool.description}".lower():
            continue
        if filters.effect in (None, Effect(tool.effect)):
            yield _builtin(tool)


def _builtin(tool: BuiltinTool) -> ToolOut:
    return ToolOut(
        id=None,
        name=tool.name,
        kind=ToolKind.BUILTIN,
        description=tool.description,
        parameters=tool.parameters,
        effect=Effect(tool.effect),
        needs_approval=False,
        config=None,
        version=None,
        created_by=None,
        created_at=None,
        updated_at=None,
    )


def out(tool: Tool) -> ToolOut:
    columns = {name: getattr(tool, name) for name in ToolOut.model_fields if name != "config"}
    return ToolOut(**columns, config=HttpToolConfig.model_validate(definition_of(tool)["config"]))


def _name(text: str) -> str:
    if not TOOL_NAME.fullmatch(text):
        raise ValueError
    return text
