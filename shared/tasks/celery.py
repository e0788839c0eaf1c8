"""The Celery app that hears the doorbell. Imported by workers alone: ringing needs no Celery."""

from collections.abc import Sequence
from typing import Any

from celery import Celery  # pyright: ignore[reportMissingTypeStubs]

from shared.tasks.doorbell import WAKE_QUEUE


def create_celery(broker_url: str, include: Sequence[str] = ()) -> Celery:
    """JSON only, no results, no retries, no ETA: a message says that there is work and carries none.

    What the message is about stands in Postgres, so it is acknowledged as it is read, and one that is lost costs
    a second. `include` names the modules whose jobs this process can run.
    """
    app = Celery("quarterdeck", broker=broker_url, include=list(include))
    settings: dict[str, Any] = {
        "task_default_queue": WAKE_QUEUE,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # No record of messages under way: five Redis commands saved on each.
        "broker_transport_options": {"ack_emulation": False, "socket_connect_timeout": 2},
    }
    app.conf.update(settings)  # pyright: ignore[reportUnknownMemberType]
    return app
