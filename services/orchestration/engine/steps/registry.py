"""Every node type the engine runs: one folder and one line each."""

from collections.abc import Callable
from typing import Any

from services.orchestration.engine.steps.agent_task.step import AgentTaskStep
from services.orchestration.engine.steps.approval.step import ApprovalStep
from services.orchestration.engine.steps.base import Step
from services.orchestration.engine.steps.code.step import CodeStep
from services.orchestration.engine.steps.condition.step import ConditionStep
from services.orchestration.engine.steps.crew.step import CrewStep
from services.orchestration.engine.steps.delay.step import DelayStep
from services.orchestration.engine.steps.http.step import HttpStep
from services.orchestration.engine.steps.knowledge_search.step import KnowledgeSearchStep
from services.orchestration.engine.steps.loop.step import LoopStep
from services.orchestration.engine.steps.map.step import MapStep
from services.orchestration.engine.steps.output.step import OutputStep
from services.orchestration.engine.steps.question.step import QuestionStep
from services.orchestration.engine.steps.sub_workflow.step import SubWorkflowStep
from services.orchestration.engine.steps.tool.step import ToolStep
from services.orchestration.engine.steps.transform.step import TransformStep

STEPS: dict[str, Callable[[Any], Step]] = {
    "agent_task": AgentTaskStep,
    "crew": CrewStep,
    "knowledge_search": KnowledgeSearchStep,
    "tool": ToolStep,
    "http": HttpStep,
    "code": CodeStep,
    "condition": ConditionStep,
    "transform": TransformStep,
    "output": OutputStep,
    "map": MapStep,
    "loop": LoopStep,
    "approval": ApprovalStep,
    "question": QuestionStep,
    "delay": DelayStep,
    "sub_workflow": SubWorkflowStep,
}
