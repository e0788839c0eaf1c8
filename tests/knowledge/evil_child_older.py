"""`evil_child` on a system whose kernel has no Landlock: the filter of system calls has to do alone."""

from services.knowledge_base.ingestion import confine
from services.knowledge_base.ingestion.extract_child import serve
from tests.knowledge.evil_child import evil

if __name__ == "__main__":
    confine._landlock = lambda readable, allowed: -1  # pyright: ignore[reportPrivateUsage]
    serve({"extract": evil})
