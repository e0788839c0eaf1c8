"""What each node type is told: one model per type. A new type is one model and one line in `NODE_CONFIGS`."""

from shared.workflow.configs.agents import AgentTaskConfig, CrewConfig
from shared.workflow.configs.base import NodeConfig
from shared.workflow.configs.code import CodeConfig
from shared.workflow.configs.flow import DelayConfig, LoopConfig, MapConfig, SubWorkflowConfig
from shared.workflow.configs.knowledge import KnowledgeSearchConfig
from shared.workflow.configs.outside import HttpConfig, ToolConfig
from shared.workflow.configs.people import ApprovalConfig, QuestionConfig
from shared.workflow.configs.values import ConditionConfig, OutputConfig, TransformConfig

NODE_CONFIGS: dict[str, type[NodeConfig]] = {
    "agent_task": AgentTaskConfig,
    "crew": CrewConfig,
    "knowledge_search": KnowledgeSearchConfig,
    "tool": ToolConfig,
    "http": HttpConfig,
    "code": CodeConfig,
    "condition": ConditionConfig,
    "transform": TransformConfig,
    "output": OutputConfig,
    "map": MapConfig,
    "loop": LoopConfig,
    "approval": ApprovalConfig,
    "question": QuestionConfig,
    "delay": DelayConfig,
    "sub_workflow": SubWorkflowConfig,
}
