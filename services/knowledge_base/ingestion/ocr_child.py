"""Runs tesseract with what it needs and nothing else: `python -I -S ocr_child.py <limits as JSON> tesseract ...`."""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from services.knowledge_base.ingestion.confine import (  # noqa: PLC0415 - once it can be found
        Cage,
        bound,
        die_with_parent,
        leave_network,
    )

    limits, program = json.loads(sys.argv[1]), sys.argv[2]
    os.setsid()
    die_with_parent()
    leave_network()
    places = ("/usr", "/lib", "/lib64", "/etc", "/opt", str(Path(program).resolve().parents[1]), limits["data"])
    cage = Cage.around((Path(place) for place in places if place), programs=True)
    bound(limits["memory_bytes"], limits["cpu_seconds"])
    cage.enter(programs=True)
    environment = {"PATH": os.defpath, "OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8"}
    if limits["data"]:
        environment["TESSDATA_PREFIX"] = limits["data"]
    os.execve(program, [program, *sys.argv[3:]], environment)


main()
