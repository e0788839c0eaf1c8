"""The tools of one agent's work on one task, and how several calls of one turn are made."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from crewai.utilities.string_utils import sanitize_tool_name

from services.orchestration.engine.ports import Effect, StepCalls, ToolCall
from services.orchestration.runtimes.crewai import prompts
from services.orchestration.runtimes.crewai.citations import Citations
from services.orchestration.runtimes.crewai.concurrency import all_or_first_failure
from services.orchestration.runtimes.crewai.tools import AgentTool
from shared.kit.json import canonical

_AT_ONCE: Final = 8
_SAME_CALLS: Final = 5


class ToolBox:
    """Each call gets a scope numbered in the order of the model's answers, so its key is the same on replay."""

    def __init__(self, tools: Sequence[AgentTool], calls: StepCalls) -> None:
        self.specs = tuple(tool.spec for tool in tools)
        self._tools = {tool.spec.name: tool for tool in tools}
        self._calls = calls
        self._made = 0
        self._outcomes: Counter[bytes] = Counter()

    @property
    def in_circles(self) -> bool:
        """The same call has given the same result so often that the model is getting nowhere."""
        return any(times >= _SAME_CALLS for times in self._outcomes.values())

    async def use(self, requested: Sequence[ToolCall]) -> list[str]:
        """The results, in order. Side by side if all of them only read and nobody is asked; else one by one."""
        citations = Citations.current()
        numbered = list(enumerate(requested, start=self._made))
        self._made += len(numbered)
        if len(numbered) > 1 and all(self._may_run_beside(call) for call in requested):
            places = asyncio.Semaphore(_AT_ONCE)
            branches = [citations.branch() for _ in numbered]
            answers = await all_or_first_failure(
                [
                    self._answer(number, call, branch, places)
                    for (number, call), branch in zip(numbered, branches, strict=True)
                ]
            )
            results = [citations.merge(branch, answer) for branch, answer in zip(branches, answers, strict=True)]
        else:
            results = [await self._answer(number, call, citations) for number, call in numbered]
        for call, result in zip(requested, results, strict=True):
            self._outcomes[canonical([call.name, call.arguments, result])] += 1
        return results

    async def _answer(
        self, number: int, call: ToolCall, citations: Citations, places: asyncio.Semaphore | None = None
    ) -> str:
        tool = self._find(call.name)
        if tool is None:
            return prompts.wrong_tool(call.name, self.specs)
        with self._calls.scope(f"tool{number}"), citations.applied():
            if places is None:
                return await tool.answer(call.arguments)
            async with places:
                return await tool.answer(call.arguments)

    def _may_run_beside(self, call: ToolCall) -> bool:
        tool = self._find(call.name)
        return tool is None or (tool.spec.effect is Effect.READ and not tool.needs_approval)

    def _find(self, name: str) -> AgentTool | None:
        return self._tools.get(name) or self._tools.get(sanitize_tool_name(name))
