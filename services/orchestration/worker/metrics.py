"""What operators see of a worker."""

from prometheus_client import Counter, Gauge, Histogram

HELD = Gauge("quarterdeck_worker_executions", "Executions this worker holds", ["lane"])
CAPACITY = Gauge("quarterdeck_worker_capacity", "Executions this worker can hold", ["lane"])
READY = Gauge("quarterdeck_worker_ready", "1 while this worker claims executions")
CODE_SANDBOX = Gauge("quarterdeck_worker_code_sandbox", "1 if this worker can run the code of code steps")
RINGS = Counter("quarterdeck_worker_rings", "Rings of the doorbell that were heard")
CLAIMED = Counter("quarterdeck_executions_claimed", "Executions claimed", ["lane"])
QUEUED_SECONDS = Histogram(
    "quarterdeck_execution_queued_seconds",
    "From submission to the first claim",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
OUTCOMES = Counter(
    "quarterdeck_executions_let_go", "Executions this worker no longer runs, by how they left", ["outcome"]
)
REJECTED = Counter("quarterdeck_ledger_writes_rejected", "Writes refused because another worker holds the execution")
LEASES_LOST = Counter("quarterdeck_leases_lost", "Executions dropped because their lease was over or taken")
HEARTBEATS_FAILED = Counter("quarterdeck_heartbeats_failed", "Heartbeats that did not reach the database")
PRUNED = Counter("quarterdeck_executions_pruned", "Executions that lost something by their tenant's policy", ["what"])
REAPED = Counter("quarterdeck_executions_reaped", "Executions taken from workers that died")
WAITS_SWEPT = Counter("quarterdeck_waits_swept", "Inbox items that expired, escalated or were closed")
