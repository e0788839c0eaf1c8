"""Stock crewAI: `python -m benchmarks.baselines.stock_crew BASE_URL RUNS` prints its CPU milliseconds per run.

The same crew by crewAI's own `Crew.kickoff`, as its documentation shows it: its own LLM class, fresh objects for each
run with one LLM for all three agents (one each would cost twice as much), nothing adjusted but telemetry, which would
leave the machine.
"""

import os
import sys
import time

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")

from crewai import LLM, Agent, Crew, Task

from benchmarks.crew import ROLES, agent, task


def run(base_url: str, topic: str) -> str:
    llm = LLM(model="openai/fake", base_url=base_url, api_key="benchmark")
    agents = [Agent(**agent(role), llm=llm) for role in ROLES]
    tasks = [Task(**task(role, topic), agent=each) for role, each in zip(ROLES, agents, strict=True)]
    return Crew(agents=agents, tasks=tasks).kickoff().raw


def main() -> None:
    base_url, runs = sys.argv[1], int(sys.argv[2])
    run(base_url, "warm up")
    before = time.process_time()
    for number in range(runs):
        if not run(base_url, f"topic {number}"):
            raise SystemExit("the crew gave no answer")
    print((time.process_time() - before) / runs * 1000)


if __name__ == "__main__":
    main()
