"""What an execution of kind `evaluation` does: its spec's `action`."""

GENERATE = "generate"
MEASURE = "measure"
