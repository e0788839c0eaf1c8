"""Which engine an execution asks for."""

# A worker claims executions of its own version and of older ones. It goes up when executions that began under the
# new engine could not be carried on by the old one, as happens while workers are replaced one by one.
ENGINE_VERSION = 3
