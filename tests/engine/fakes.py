"""An engine's world in memory: a ledger that can crash at any write, and providers that count what they are asked."""

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.orchestration.adapters.sandbox import BubblewrapSandbox
from services.orchestration.engine.budget import Unlimited
from services.orchestration.engine.jobs import JobHandler
from services.orchestration.engine.ports import (
    Action,
    Answer,
    CallRecord,
    ChatMessage,
    CodeReply,
    CodeRequest,
    CrewPlan,
    CrewResult,
    Delta,
    DeltaSink,
    Effect,
    EventRecord,
    ExecutionState,
    ExecutionStatus,
    Found,
    Http,
    HttpReply,
    HttpRequest,
    KnowledgeRequest,
    LedgerBatch,
    ModelInfo,
    ModelReply,
    ModelRequest,
    Outside,
    Passage,
    Sandbox,
    StepCalls,
    StepRecord,
    StepStatus,
    Superseded,
    TaskResult,
    ToolContext,
    ToolReply,
    ToolSpec,
    Transition,
    Usage,
    WaitRecord,
    WaitStatus,
)
from services.orchestration.engine.runner import ExecutionRunner, Outcome
from shared.kit.json import Json, JsonObject

EXECUTION = UUID("01890000-0000-7000-8000-00000000e001")
TENANT = UUID("01890000-0000-7000-8000-00000000a001")
MODEL = UUID("01890000-0000-7000-8000-00000000b001")
AGENT = UUID("01890000-0000-7000-8000-00000000c001")
OTHER_AGENT = UUID("01890000-0000-7000-8000-00000000c002")
BASE = UUID("01890000-0000-7000-8000-00000000d001")


async def eventually(holds: Callable[[], bool]) -> None:
    """Waits for what comes by itself, however busy the machine is."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.001)


class Crash(Exception):
    """The worker died: what it had not written is gone."""


def agent(agent_id: UUID = AGENT, name: str = "Ada") -> JsonObject:
    return {
        "id": str(agent_id),
        "name": name,
        "role": f"{name}'s role",
        "goal": "answer",
        "backstory": "",
        "system_prompt": None,
        "model_id": str(MODEL),
        "tools": [],
        "knowledge_base_ids": [],
        "max_iterations": 5,
        "temperature": None,
        "max_tokens": None,
        "allow_delegation": False,
    }


def spec_of(graph: JsonObject) -> JsonObject:
    return {
        "graph": graph,
        "agents": {str(AGENT): agent(), str(OTHER_AGENT): agent(OTHER_AGENT, "Bob")},
        "models": {str(MODEL): {"name": "fake-model", "provider": "fake"}},
    }


_OPEN_STEPS = (StepStatus.RUNNING, StepStatus.WAITING)


class MemoryLedger:
    """Keeps copies, so that a record changed after it was written shows. A crash may come before or after a write."""

    def __init__(self, spec: JsonObject, inputs: JsonObject | None = None, kind: str = "workflow") -> None:
        self._spec = spec
        self._inputs = inputs or {}
        self._kind = kind
        self.steps: dict[tuple[str, str], StepRecord] = {}
        self.calls: dict[tuple[UUID, str], CallRecord] = {}
        self.wait_rows: dict[tuple[UUID, str], WaitRecord] = {}
        self.wakes = 0
        self.forked = False
        self.events: list[EventRecord] = []
        self.transitions: list[Transition] = []
        self.batches: list[LedgerBatch] = []
        self.claims = 0
        self.crash_at: int | None = None
        self.crash_after_write = False
        self.superseded = False
        self.delay: float | None = None
        self.writing = 0

    async def load(self) -> ExecutionState:
        self.claims += 1
        return ExecutionState(
            id=EXECUTION,
            tenant_id=TENANT,
            kind=self._kind,
            spec=copy.deepcopy(self._spec),
            inputs=copy.deepcopy(self._inputs),
            attempts=self.claims,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            steps=copy.deepcopy(list(self.steps.values())),
            calls=copy.deepcopy(list(self.calls.values())),
            waits=copy.deepcopy(list(self.wait_rows.values())),
            wakes=self.wakes,
            forked=self.forked,
        )

    async def waits(self) -> tuple[int, list[WaitRecord]]:
        await asyncio.sleep(self.delay or 0)
        return self.wakes, copy.deepcopy(list(self.wait_rows.values()))

    async def write(self, batch: LedgerBatch) -> None:
        assert not self.writing, "two writes at once"
        self.writing += 1
        try:
            await asyncio.sleep(self.delay or 0)
            crashes = self.crash_at is not None and len(self.batches) == self.crash_at
            if self.superseded:
                raise Superseded
            if crashes and not self.crash_after_write:
                raise Crash
            self._apply(copy.deepcopy(batch))
            if crashes:
                raise Crash
        finally:
            self.writing -= 1

    def _apply(self, batch: LedgerBatch) -> None:
        assert self.ended is None, "a write after the end"
        self.batches.append(batch)
        for step in batch.steps:
            known = self.steps.get((step.node, step.path))
            assert known is None or known.id == step.id, f"two records of step {step.node}"
            assert known is None or known.status in _OPEN_STEPS, f"{step.node} ended twice"
            self.steps[step.node, step.path] = step
        for call in batch.calls:
            known_call = self.calls.get((call.step_id, call.key))
            assert known_call is None or known_call.id == call.id, f"two records of call {call.key}"
            assert any(step.id == call.step_id for step in self.steps.values()), "a call of no step"
            self.calls[call.step_id, call.key] = call
        for wait in batch.waits:
            self._apply_wait(wait)
        self.events += batch.events
        if batch.transition is not None:
            self.transitions.append(batch.transition)

    def _apply_wait(self, wait: WaitRecord) -> None:
        known = self.wait_rows.get((wait.step_id, wait.key))
        assert any(step.id == wait.step_id for step in self.steps.values()), "a wait of no step"
        assert known is None or known.id == wait.id, f"two records of wait {wait.key}"
        assert wait.status is (WaitStatus.OPEN if known is None else WaitStatus.CLOSED), (
            f"wait {wait.key} written twice"
        )
        if known is None or known.status is WaitStatus.OPEN:
            self.wait_rows[wait.step_id, wait.key] = wait

    # --- whoever answers, at any time -------------------------------------------------------------------------

    def open_waits(self) -> list[WaitRecord]:
        return [wait for wait in self.wait_rows.values() if wait.status is WaitStatus.OPEN]

    def settle(self, wait: WaitRecord, answer: Answer | None, status: WaitStatus = WaitStatus.ANSWERED) -> None:
        known = self.wait_rows[wait.step_id, wait.key]
        assert known.status is WaitStatus.OPEN
        self.wait_rows[wait.step_id, wait.key] = replace(known, status=status, answer=answer)
        self.wakes += 1

    def answer(self, action: Action, value: Json = None) -> None:
        """Answers the one open wait."""
        (wait,) = self.open_waits()
        self.settle(wait, Answer(action, value, TENANT, datetime(2026, 1, 2, tzinfo=UTC)))

    @property
    def status(self) -> ExecutionStatus:
        """What the row says: a waiting execution that was woken meanwhile is queued."""
        last = self.transitions[-1]
        woken = last.status is ExecutionStatus.WAITING and last.wakes != self.wakes
        return ExecutionStatus.QUEUED if woken else last.status

    @property
    def ended(self) -> Transition | None:
        ends = [t for t in self.transitions if t.status.ended]
        return ends[-1] if ends else None

    def statuses(self) -> dict[str, str]:
        return {node: step.status.value for (node, _), step in self.steps.items()}

    def outputs(self) -> dict[str, Json]:
        return {node: step.output for (node, _), step in self.steps.items()}

    def outputs_at(self, node: str, path: str = "") -> Json:
        return self.steps[node, path].output

    def event_types(self, node: str | None = None) -> list[str]:
        return [e.type for e in self.events if node is None or (e.step is not None and e.step.node == node)]


ModelAnswer = Callable[[ModelRequest], ModelReply | Awaitable[ModelReply]]
ToolAnswer = Callable[[JsonObject], str | Awaitable[str]]


def echo(request: ModelRequest) -> ModelReply:
    text = f"re: {request.messages[-1].content}"
    return ModelReply(text=text, usage=Usage(10, 5, Decimal("0.001")))


@dataclass
class FakeModels:
    """`made` has what was asked, as the provider would count it."""

    answer: ModelAnswer = echo
    pieces: int = 1
    made: list[str] = field(default_factory=list[str])

    async def describe(self, tenant_id: UUID, model_id: UUID) -> ModelInfo:
        return ModelInfo(model_id, "fake-model", 8_000, supports_tools=True)

    async def complete(self, tenant_id: UUID, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        assert tenant_id == TENANT
        self.made.append(request.messages[-1].content)
        reply = self.answer(request)
        if isinstance(reply, Awaitable):
            reply = await reply
        width = max(1, -(-len(reply.text) // self.pieces))
        for start in range(0, len(reply.text), width):
            on_delta(Delta("message", reply.text[start : start + width]))
        return reply


@dataclass
class FakeTools:
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    answers: dict[str, ToolAnswer] = field(default_factory=dict[str, ToolAnswer])
    made: list[tuple[str, JsonObject]] = field(default_factory=list[tuple[str, JsonObject]])
    keys: Counter[str] = field(default_factory=Counter[str])
    contexts: list[ToolContext] = field(default_factory=list[ToolContext])
    approved: set[str] = field(default_factory=set[str])

    def describe(self, name: str) -> ToolSpec:
        effect = self.effects.get(name, Effect.READ)
        return ToolSpec(name, f"The tool {name}", {"type": "object"}, effect, name in self.approved)

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolReply:
        self.made.append((name, arguments))
        self.contexts.append(context)
        self.keys[context.idempotency_key] += 1
        answer = self.answers.get(name, lambda given: f"{name}: {given}")(arguments)
        return ToolReply(await answer if isinstance(answer, Awaitable) else answer)


@dataclass
class FakeKnowledge:
    made: list[str] = field(default_factory=list[str])
    passages: list[Passage] = field(default_factory=list[Passage])

    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found:
        self.made.append(request.query)
        return Found(tuple(self.passages[: request.top_k]))


HttpAnswer = Callable[[HttpRequest], HttpReply | Awaitable[HttpReply]]


def page(request: HttpRequest) -> HttpReply:
    return HttpReply(200, {"content-type": "text/plain"}, f"{request.method} {request.url}")


@dataclass
class FakeHttp:
    answer: HttpAnswer = page
    made: list[HttpRequest] = field(default_factory=list[HttpRequest])
    keys: Counter[str] = field(default_factory=Counter[str])

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply:
        self.made.append(request)
        self.keys[idempotency_key] += 1
        answer = self.answer(request)
        return await answer if isinstance(answer, Awaitable) else answer


class FakeSandbox:
    async def run(self, request: CodeRequest) -> CodeReply:
        return CodeReply({"ran": request.source}, "printed")


class OneCallPerTask:
    """An agent runtime whose agents ask the model once per task and take the answer."""

    def __init__(self) -> None:
        self.plans: list[CrewPlan] = []

    async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult:
        self.plans.append(plan)
        results: list[TaskResult] = []
        for task in plan.tasks:
            with calls.scope(task.name):
                worker = plan.agents[task.agent or 0]
                reply = await calls.model(ask(task.description), agent_id=worker.id)
            results.append(TaskResult(task.name, worker.name, reply.text, reply.data))
        return CrewResult(results[-1].text, results[-1].data, tuple(results))


@dataclass
class ScriptedAgents:
    """An agent runtime that runs the test's own coroutine in place of a crew; its return is the text."""

    script: Callable[[CrewPlan, StepCalls], Awaitable[str]]

    async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult:
        text = await self.script(plan, calls)
        return CrewResult(text, None, (TaskResult(plan.tasks[0].name, plan.agents[0].name, text),))


def ask(question: str) -> ModelRequest:
    return ModelRequest(MODEL, (ChatMessage("user", question),))


@dataclass
class World:
    models: FakeModels = field(default_factory=FakeModels)
    tools: FakeTools = field(default_factory=FakeTools)
    knowledge: FakeKnowledge = field(default_factory=FakeKnowledge)
    agents: Any = field(default_factory=OneCallPerTask)
    http: Http = field(default_factory=FakeHttp)
    sandbox: Sandbox = field(default_factory=BubblewrapSandbox)
    budgets: Any = field(default_factory=Unlimited)
    jobs: dict[str, JobHandler] = field(default_factory=dict[str, JobHandler])

    def runner(self, ledger: MemoryLedger) -> ExecutionRunner:
        outside = Outside(self.models, self.tools, self.knowledge, self.agents, self.http, self.sandbox, self.budgets)
        return ExecutionRunner(ledger, outside, self.jobs)

    async def run(self, ledger: MemoryLedger) -> Outcome:
        return await asyncio.wait_for(self.runner(ledger).run(), timeout=20)


def scripted(script: Callable[[CrewPlan, StepCalls], Awaitable[str]], **parts: Any) -> World:
    return World(agents=ScriptedAgents(script), **parts)


# --- graphs -----------------------------------------------------------------------------------------------


def graph(*nodes: JsonObject, edges: Sequence[Any] = (), outputs: JsonObject | None = None) -> JsonObject:
    """`edges` are `(source, target)` pairs, or objects of more."""
    return {
        "spec": 1,
        "nodes": list(nodes),
        "edges": [e if isinstance(e, dict) else {"from": e[0], "to": e[1]} for e in edges],
        "outputs": outputs or {},
    }


def task(id_: str, description: str = "do it", **more: Any) -> JsonObject:
    config = {"agent_id": str(AGENT), "description": description, "expected_output": "text"}
    return {"id": id_, "type": "agent_task", "config": config, **more}


def transform(id_: str, expression: str, **more: Any) -> JsonObject:
    return {"id": id_, "type": "transform", "config": {"expression": expression}, **more}


def condition(id_: str, **cases: str) -> JsonObject:
    return {
        "id": id_,
        "type": "condition",
        "config": {"cases": [{"name": name, "when": when} for name, when in cases.items()], "default": "else"},
    }


def output(id_: str, **values: str) -> JsonObject:
    return {"id": id_, "type": "output", "config": {"values": values}}
