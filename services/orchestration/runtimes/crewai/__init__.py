"""Crews and agent tasks on crewAI, used as a library: fresh objects for each step, on the caller's event loop.

Only workers import this package: crewAI takes four seconds of CPU and 260 MB. Importing it is all there is to
warming up; the first crew costs no more than a few milliseconds extra.
"""

# The order matters: crewAI is first imported by `isolation`, and changed before any class is derived from its own.
from services.orchestration.runtimes.crewai import isolation as isolation

# isort: split
from services.orchestration.runtimes.crewai import adjustments as adjustments

# isort: split
from services.orchestration.runtimes.crewai.runtime import CrewAIRuntime

__all__ = ["CrewAIRuntime"]
