"""`python -m tests.chaos`: the whole product under faults, and what became of its promises.

Prints the seed first; the same seed makes the same plan. Ends with 1 if a promise was broken or a fault did not happen.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.drill import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.5, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--keep", type=Path, help="a new directory for databases and logs, which stay")
    options = parser.parse_args()
    print(f"seed {options.seed}, faults for {options.minutes:g} minutes", flush=True)
    if options.keep:
        options.keep.mkdir()
        return asyncio.run(run(options.keep.absolute(), options.seed, options.minutes * 60))
    with tempfile.TemporaryDirectory(prefix="quarterdeck-chaos-") as directory:
        return asyncio.run(run(Path(directory), options.seed, options.minutes * 60))


if __name__ == "__main__":
    sys.exit(main())
