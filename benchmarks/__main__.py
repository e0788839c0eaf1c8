"""`python -m benchmarks [NAME ...]`: measures, prints a table, writes benchmarks/latest.json when all were run."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from benchmarks import (
    cold_start,
    crews,
    documents,
    engine_overhead,
    gateway,
    growth,
    ingestion,
    ingestion_memory,
    latency,
    retrieval,
    scale,
)
from benchmarks.report import Figure, show, write

_LONG, _SHORT = 10_000, 3_000


def _benchmarks(executions: int) -> dict[str, Callable[[], Awaitable[list[Figure]]]]:
    return {
        "crew-cpu": crews.cpu_per_execution,
        "crew-concurrency": crews.many_at_once,
        "engine-overhead": engine_overhead.measure,
        "scale": scale.many,
        "memory": lambda: scale.memory(executions),
        "first-step": latency.first_step,
        "takeover": latency.takeover,
        "growth": growth.per_execution,
        "gateway": gateway.measure,
        "cold-start": cold_start.measure,
        "retrieval": retrieval.measure,
        "documents": documents.measure,
        "ingestion": ingestion.measure,
        "ingestion-memory": ingestion_memory.measure,
    }


async def _run(names: list[str], executions: int) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        figures += await _benchmarks(executions)[name]()
    return figures


def main() -> None:
    known = list(_benchmarks(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[*known, []], help="which ones; all when none is named")
    parser.add_argument(
        "--long", action="store_true", help=f"watch the memory over {_LONG:,} executions, not {_SHORT:,}"
    )
    given = parser.parse_args()
    names: list[str] = given.names or known
    figures = asyncio.run(_run(names, _LONG if given.long else _SHORT))
    show(figures)
    if names == known:
        write(figures)


if __name__ == "__main__":
    main()
