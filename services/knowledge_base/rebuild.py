"""For operators: `python -m services.knowledge_base.rebuild` fills Chroma again from Postgres, for all tenants.

Each knowledge base that has something to be found gets an execution that builds its index anew; workers must run. What
is found meanwhile is found in the present index, if Chroma still has it.
"""

import argparse
import asyncio
import sys
from collections import Counter
from uuid import UUID

from sqlalchemy import select, text

from services.knowledge_base.bases import repository as bases
from services.knowledge_base.consistency import service
from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.kit.settings import get_settings
from shared.web.resources import Resources, open_resources
from shared.workflow.states import ExecutionStatus

_LOOK_AGAIN = 1.0

# Which tenant's execution it is.
_Started = dict[UUID, UUID]


async def submit_all(app: Resources) -> _Started:
    async with app.database.write(Scope()) as session:
        found = list(await session.execute(text("SELECT * FROM knowledge_filled_indexes()")))
    started: _Started = {}
    for row in found:
        async with app.database.write(Scope(row.tenant_id)) as session:
            base = await bases.lock_base(session, row.knowledge_base_id)
            if base is not None:
                ring = app.doorbell.ring
                started[await service.start_rebuild(session, base, ring, created_by=None)] = row.tenant_id
    return started


async def wait_for(app: Resources, started: _Started) -> Counter[str]:
    """How many ended in which way."""
    ends: Counter[str] = Counter()
    waiting = dict(started)
    while waiting:
        for execution_id, tenant_id in list(waiting.items()):
            async with app.database.read(Scope(tenant_id)) as session:
                status = await session.scalar(select(ExecutionRow.status).where(ExecutionRow.id == execution_id))
            if status is None or ExecutionStatus(status).ended:
                ends[status or "gone"] += 1
                del waiting[execution_id]
                _say(f"{len(started) - len(waiting)} of {len(started)}: {execution_id} {status}")
        await asyncio.sleep(_LOOK_AGAIN if waiting else 0)
    return ends


async def _main(wait: bool) -> int:
    async with open_resources(get_settings()) as app:
        started = await submit_all(app)
        _say(f"{len(started)} knowledge bases are rebuilt")
        ends = await wait_for(app, started) if wait else Counter[str]()
    return 0 if set(ends) <= {ExecutionStatus.SUCCEEDED.value} else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fill the vector store again from the database, for all tenants.")
    parser.add_argument("--no-wait", action="store_true", help="submit the executions and do not wait for them")
    sys.exit(asyncio.run(_main(wait=not parser.parse_args().no_wait)))
