"""Plans for crews, made short."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import AgentPlan, CrewPlan, TaskPlan
from tests.crewai.calls import MODEL_ID


def agent(name: str, **changes: Any) -> AgentPlan:
    plan = AgentPlan(
        id=UUID(int=sum(name.encode())),
        name=name,
        role=f"Senior {name}",
        goal=f"Be a good {name}",
        backstory=f"You have always been a {name}.",
        model_id=MODEL_ID,
    )
    return replace(plan, **changes)


def task(description: str, agent: int | None = 0, **changes: Any) -> TaskPlan:
    plan = TaskPlan(name=description, description=f"Do {description}", expected_output="A few words", agent=agent)
    return replace(plan, **changes)


def one_task(worker: AgentPlan | None = None, **changes: Any) -> CrewPlan:
    return CrewPlan(agents=(worker or agent("writer"),), tasks=(task("work", **changes),))
