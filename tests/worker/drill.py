"""`python -m tests.worker.drill`: the product's own worker, which can do `drill` jobs besides."""

from services.orchestration.worker.__main__ import main
from services.orchestration.worker.composition import JOB_MODULES

if __name__ == "__main__":
    raise SystemExit(main((*JOB_MODULES, "tests.worker.drill_jobs")))
