"""A whole worker process does both: it fires schedules, and tells endpoints of ends."""

from pathlib import Path

from tests.executions.support import LedgerView
from tests.fakes.webhook_receiver import open_receiver
from tests.triggers.support import make, schedule, started
from tests.triggers.test_schedules import MINUTELY, due_since, last_minute
from tests.worker.processes import eventually, open_yard
from tests.workflows.conftest import Tenant


async def test_a_worker_fires_schedules_and_tells_of_ends(here: Tenant, view: LedgerView, tmp_path: Path) -> None:
    async with open_receiver() as receiver, open_yard(here.platform, here.account, view, tmp_path) as yard:
        here.platform.settings.allowed_hosts = receiver.address
        await here.post("/webhook-endpoints", {"url": receiver.url, "events": ["execution.cancelled"]})
        trigger = await make(here, schedule(**MINUTELY))
        await due_since(view, trigger, last_minute())
        await yard.start(QUARTERDECK_ALLOWED_HOSTS=receiver.address)

        async def fired() -> bool:
            return len(await started(view, trigger)) > 0

        await eventually(fired, within=30)
        (row, *_) = await started(view, trigger)
        await yard.ask_to_cancel(row["id"])
        (received, *_) = await receiver.have(1, within=30)
        assert received.message["data"]["id"] == str(row["id"])
        assert received.message["data"]["trigger_id"] == trigger["id"]
