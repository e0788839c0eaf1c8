"""`python -m benchmarks [NAME ...]`: measures, prints a table; writes latest.json when none was named."""

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
    knowledge_scale,
    latency,
    retrieval,
    scale,
)
from benchmarks.report import Figure, show, write

_LONG, _SHORT = 10_000, 3_000
# Takes many minutes: measured when it is named.
_BY_NAME = {"knowledge-scale"}


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
        "knowledge-scale": knowledge_scale.measure,
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
    parser.add_argument("names", nargs="*", choices=[*known, []], help="which ones; the usual ones when none is named")
    parser.add_argument(
        "--long", action="store_true", help=f"watch the memory over {_LONG:,} executions, not {_SHORT:,}"
    )
    given = parser.parse_args()
    usual = [name for name in known if name not in _BY_NAME]
    names: list[str] = given.names or usual
    figures = asyncio.run(_run(names, _LONG if given.long else _SHORT))
    show(figures)
    if names == usual:
        write(figures)


if __name__ == "__main__":
    main()
