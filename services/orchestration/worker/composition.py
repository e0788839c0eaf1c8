"""What the engine reaches the world by, in a worker."""

import asyncio
import gc
import importlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from services.orchestration.adapters.budgets import PostgresBudgets
from services.orchestration.adapters.http import OutboundHttp
from services.orchestration.adapters.knowledge import KnowledgeBases
from services.orchestration.adapters.models import ProviderModels
from services.orchestration.adapters.sandbox import BubblewrapSandbox, CodeLimits
from services.orchestration.adapters.tools import ProductTools
from services.orchestration.engine.ports import AgentRuntime, CrewPlan, CrewResult, Outside, StepCalls
from services.orchestration.worker import metrics
from shared.kit.logging import get_logger
from shared.knowledge.embedding import Embedders
from shared.knowledge.rerank import Reranker
from shared.knowledge.search import KnowledgeSearch
from shared.llm.client import LanguageModels
from shared.llm.tenant import TenantModels
from shared.web.resources import Resources

log = get_logger(__name__)

# Modules whose jobs a worker runs. Named, not imported: services do not know one another.
JOB_MODULES = ("services.knowledge_base.tasks",)

_CREWAI = "services.orchestration.runtimes.crewai"


class WarmingRuntime:
    """crewAI takes seconds to import. That happens in a thread while the worker already claims what needs none."""

    def __init__(self) -> None:
        self._loading: asyncio.Task[AgentRuntime] | None = None

    def warm_up(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(_load_crewai))

    async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult:
        self.warm_up()
        assert self._loading is not None
        runtime = await asyncio.shield(self._loading)
        return await runtime.run_crew(plan, calls)


def _load_crewai() -> AgentRuntime:
    started = time.perf_counter()
    module = importlib.import_module(_CREWAI)
    # What is loaded by now stays. The garbage collector would go through all of it again and again, and hold the event
    # loop for a fifth of a second each time.
    gc.freeze()
    log.info("crewAI is loaded", seconds=round(time.perf_counter() - started, 2))
    return module.CrewAIRuntime()


@asynccontextmanager
async def open_outside(resources: Resources) -> AsyncGenerator[Outside]:
    """The ports, made real. Open them on the event loop that the engine runs on."""
    settings = resources.settings
    models = LanguageModels.from_settings(settings)
    # What a search costs is recorded by the step that asks: see `Found.usage`.
    unaccounted = TenantModels(resources.database, resources.cipher, models, accounts=None)
    embedders = Embedders(settings.cache, unaccounted)
    search = KnowledgeSearch(resources.database, resources.vectors, embedders, Reranker(unaccounted))
    knowledge = KnowledgeBases(search)
    agents = WarmingRuntime()
    if settings.worker_capacity > 0:  # else it only processes documents, and has better use for the memory
        agents.warm_up()
    budgets = PostgresBudgets(resources.database)
    sandbox = BubblewrapSandbox(CodeLimits(at_once=settings.worker_code_capacity))
    looking = asyncio.create_task(_look_at(sandbox))
    try:
        yield Outside(
            models=ProviderModels(resources.database, resources.cipher, models),
            tools=ProductTools(knowledge, resources.outbound),
            knowledge=knowledge,
            agents=agents,
            http=OutboundHttp(resources.outbound),
            sandbox=sandbox,
            budgets=budgets,
        )
    finally:
        await budgets.close()
        looking.cancel()
        await models.close()


async def _look_at(sandbox: BubblewrapSandbox) -> None:
    """So that an operator knows before the first step that needs it."""
    trouble = await sandbox.check()
    metrics.CODE_SANDBOX.set(trouble is None)
    if trouble is None:
        log.info("code steps run in a sandbox")
    else:
        log.warning("code steps will fail on this worker", reason=trouble)
