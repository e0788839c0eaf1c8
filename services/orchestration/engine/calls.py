"""The port `StepCalls` for one attempt of a step: what each kind of call asks, and how its answer is read back."""

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from services.orchestration.engine import codec, events
from services.orchestration.engine.approvals import Decision, approval, decide
from services.orchestration.engine.budget import estimate
from services.orchestration.engine.journal import Answered, AttemptJournal, Intent
from services.orchestration.engine.ports import (
    CallKind,
    CodeReply,
    CodeRequest,
    Delta,
    Effect,
    Found,
    HttpReply,
    HttpRequest,
    KnowledgeRequest,
    ModelInfo,
    ModelReply,
    ModelRequest,
    ToolContext,
    ToolSpec,
    Usage,
    WaitRecord,
    WaitRequest,
)
from services.orchestration.engine.scopes import Scope
from shared.kit.json import JsonObject


class AttemptCalls:
    def __init__(self, journal: AttemptJournal) -> None:
        self._journal = journal
        self._context = journal.context

    def scope(self, name: str) -> Scope:
        return Scope(name)

    async def describe_model(self, model_id: UUID) -> ModelInfo:
        return await self._context.outside.models.describe(self._context.tenant_id, model_id)

    def describe_tool(self, name: str) -> ToolSpec:
        return self._context.snapshot.tool(name) or self._context.outside.tools.describe(name)

    async def model(self, request: ModelRequest, *, agent_id: UUID | None = None) -> ModelReply:
        journal, context = self._journal, self._context
        name = context.snapshot.model_names.get(str(request.model_id), str(request.model_id))

        async def expected() -> Usage:
            return estimate(request, await self.describe_model(request.model_id))

        intent = Intent(
            CallKind.LLM, Effect.READ, name, codec.model_request(request), request.model_id, agent_id, expected
        )

        async def make(key: str) -> tuple[ModelReply, Answered]:
            def on_delta(delta: Delta) -> None:
                if not journal.closed:
                    journal.deltas.add(delta, key, agent_id)

            reply = await context.outside.models.complete(context.tenant_id, request, on_delta)
            return reply, Answered(codec.model_reply(reply), reply.usage)

        return await journal.answer(intent, make, codec.read_model_reply)

    async def tool(
        self,
        name: str,
        arguments: JsonObject,
        *,
        agent_id: UUID | None = None,
        knowledge_base_ids: Sequence[UUID] = (),
        needs_approval: bool | None = None,
    ) -> str:
        spec = self.describe_tool(name)
        if spec.needs_approval if needs_approval is None else needs_approval:
            decision = self._approved(spec, arguments, agent_id)
            if decision.result is not None:
                return decision.result
            arguments = decision.arguments
        return await self._call_tool(spec, arguments, agent_id, tuple(knowledge_base_ids))

    def _approved(self, spec: ToolSpec, arguments: JsonObject, agent_id: UUID | None) -> Decision:
        agent = None if agent_id is None else self._context.snapshot.agent_name(agent_id)
        return decide(self._journal.wait(approval(spec, arguments, agent)), arguments)

    async def _call_tool(
        self, spec: ToolSpec, arguments: JsonObject, agent_id: UUID | None, bases: tuple[UUID, ...]
    ) -> str:
        name = spec.name
        request: JsonObject = {
            "name": name,
            "arguments": arguments,
            "knowledge_base_ids": [str(each) for each in bases],
        }
        intent = Intent(CallKind.TOOL, spec.effect, name, request, agent_id=agent_id)

        async def make(key: str) -> tuple[str, Answered]:
            context = ToolContext(
                self._context.tenant_id,
                self._context.execution_id,
                bases,
                self._journal.idempotency_key(key),
                definition=self._context.snapshot.tool_definition(name),
                agent_id=agent_id,
            )
            reply = await self._context.outside.tools.call(name, arguments, context)
            return reply.text, Answered(reply.text, reply.usage)

        return await self._journal.answer(intent, make, str)

    async def knowledge(self, request: KnowledgeRequest) -> Found:
        intent = Intent(CallKind.KNOWLEDGE, Effect.READ, "knowledge", codec.knowledge_request(request))

        async def make(_: str) -> tuple[Found, Answered]:
            found = await self._context.outside.knowledge.search(self._context.tenant_id, request)
            for warning in found.warnings:
                self.log("warning", warning)
            return found, Answered(codec.passages(found.passages), found.usage)

        return await self._journal.answer(intent, make, codec.read_found)

    async def http(self, request: HttpRequest) -> HttpReply:
        name = urlsplit(request.url).hostname or request.url[:100]
        intent = Intent(CallKind.HTTP, request.effect, f"{request.method} {name}", codec.http_request(request))

        async def make(key: str) -> tuple[HttpReply, Answered]:
            reply = await self._context.outside.http.send(
                self._context.tenant_id, request, self._journal.idempotency_key(key)
            )
            return reply, Answered(codec.http_reply(reply))

        return await self._journal.answer(intent, make, codec.read_http_reply)

    async def code(self, request: CodeRequest) -> CodeReply:
        # Code in the sandbox reaches nothing: to run it again does no harm.
        intent = Intent(CallKind.CODE, Effect.READ, "code", codec.code_request(request))

        async def make(_: str) -> tuple[CodeReply, Answered]:
            reply = await self._context.outside.sandbox.run(request)
            return reply, Answered(codec.code_reply(reply))

        return await self._journal.answer(intent, make, codec.read_code_reply)

    async def wait(self, request: WaitRequest) -> WaitRecord:
        return self._journal.wait(request)

    def log(self, level: Literal["debug", "info", "warning", "error"], message: str, **data: Any) -> None:
        self._context.writer.post(events=[events.log(level, message, data, self._journal.ref)])
