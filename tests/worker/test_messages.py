import base64
import json
import pickle  # noqa: TID251 - what an attacker would send
from pathlib import Path
from uuid import uuid4

from shared.tasks.doorbell import WAKE_QUEUE, WAKE_TASK
from tests.support.platform import Platform
from tests.worker.processes import Yard, eventually


class _Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def _message(body: bytes, content_type: str) -> bytes:
    id_ = str(uuid4())
    message = {
        "body": base64.b64encode(body).decode(),
        "content-type": content_type,
        "content-encoding": "binary",
        "headers": {"task": WAKE_TASK, "id": id_, "lang": "py", "root_id": id_, "parent_id": None, "group": None},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": id_,
            "delivery_mode": 2,
            "delivery_tag": id_,
            "delivery_info": {"exchange": "", "routing_key": WAKE_QUEUE},
        },
    }
    return json.dumps(message).encode()


async def test_a_pickled_message_is_refused_and_the_worker_lives(
    yard: Yard, platform: Platform, tmp_path: Path
) -> None:
    sprung = tmp_path / "sprung"
    pickled = pickle.dumps(((_Trap(sprung),), {}, {}))
    redis = platform.resources.redis
    worker = await yard.start()

    for content_type in ("application/x-python-serialize", "application/data", "application/json"):
        await redis.lpush(WAKE_QUEUE, _message(pickled, content_type))

    async def are_read() -> bool:
        return await redis.llen(WAKE_QUEUE) == 0

    # The consumer starts anew after what it cannot read.
    await eventually(are_read, within=60)
    await yard.all_ended([await yard.submit(seconds=0)], within=10)
    assert not sprung.exists()
    assert worker.process.returncode is None
    pickle.loads(pickled)
    assert sprung.exists(), "the trap works"
