"""`python -m benchmarks [NAME ...]`: measures, prints a table, writes benchmarks/latest.json when all were run."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from benchmarks import cold_start, crews, gateway
from benchmarks.report import Figure, show, write

BENCHMARKS: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "crew-cpu": crews.cpu_per_execution,
    "crew-concurrency": crews.many_at_once,
    "gateway": gateway.measure,
    "cold-start": cold_start.measure,
}


async def _run(names: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        figures += await BENCHMARKS[name]()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which ones; all when none is named")
    names: list[str] = parser.parse_args().names or list(BENCHMARKS)
    figures = asyncio.run(_run(names))
    show(figures)
    if names == list(BENCHMARKS):
        write(figures)


if __name__ == "__main__":
    main()
