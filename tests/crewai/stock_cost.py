"""Prints the CPU milliseconds of one stock `Crew.kickoff`: three tasks, three agents, a model that answers at once.

A process of its own, because ours changes crewAI. Usage: `python tests/crewai/stock_cost.py ROUNDS`.
"""

import logging
import sys
import time
from typing import Any

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM

logging.disable(logging.WARNING)


class Instant(BaseLLM):
    def call(self, *args: Any, **kwargs: Any) -> str:
        return "An answer"


def run(model: Instant) -> None:
    agents = [Agent(role=f"Role {n}", goal="Do it", backstory="None", llm=model) for n in range(3)]
    tasks = [Task(description=f"Do {n}", expected_output="Words", agent=agents[n]) for n in range(3)]
    Crew(agents=agents, tasks=tasks, tracing=False).kickoff()


rounds = int(sys.argv[1])
shared = Instant(model="instant")
for _ in range(3):
    run(shared)
start = time.process_time()
for _ in range(rounds):
    run(shared)
sys.stdout.write(f"{(time.process_time() - start) / rounds * 1000}\n")
