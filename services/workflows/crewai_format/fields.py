"""crewAI's fields that mean nothing here, and why: so that a report can say what was left out.

Field names are those of crewAI 1.15.30's `Agent`, `Task` and `Crew`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.workflows.crewai_format.report import Code

_CODE = "it names Python code, which is never loaded"
_FILES = "it reads or writes files of the machine it runs on"
_REMOTE = "it reaches another service, which only an administrator may connect"
_STORAGE = "it keeps data in storage that crews share"
_PERSON = "it waits for a person at the server's terminal"
_RUNS_CODE = "it lets a model run code on the server"
_NONE = "there is nothing like it here"


@dataclass(frozen=True, slots=True)
class FieldTable:
    """`harmless` fields change no result and are left out without a word."""

    unsafe: Mapping[str, str]
    unsupported: Mapping[str, str]
    harmless: frozenset[str]

    def verdict(self, name: str) -> tuple[Code, str]:
        if name in self.unsafe:
            return Code.UNSAFE, self.unsafe[name]
        if name in self.unsupported:
            return Code.UNSUPPORTED, self.unsupported[name]
        return Code.UNKNOWN_FIELD, "crewAI has no such field"


AGENT = FieldTable(
    unsafe={
        "a2a": _REMOTE,
        "agent_executor": _CODE,
        "allow_code_execution": _RUNS_CODE,
        "apps": _REMOTE,
        "call": _CODE,
        "callbacks": _CODE,
        "checkpoint": _FILES,
        "code_execution_mode": _RUNS_CODE,
        "config": "it would override the fields read here",
        "embedder": _REMOTE,
        "executor_class": _CODE,
        "from_repository": _REMOTE,
        "knowledge_sources": f"{_FILES}; attach a knowledge base to the agent instead",
        "mcps": _REMOTE,
        "memory": _STORAGE,
        "skills": _FILES,
        "step_callback": _CODE,
        "type": _CODE,
    },
    unsupported={
        "date_format": _NONE,
        "function_calling_llm": "an agent has one model",
        "guardrail": "results are not checked by a second model",
        "guardrail_max_retries": "results are not checked by a second model",
        "i18n": _NONE,
        "inject_date": "give the date as an input instead",
        "knowledge_config": "attach a knowledge base to the agent instead",
        "max_execution_time": "set the node's timeout instead",
        "max_reasoning_attempts": _NONE,
        "max_retry_limit": "set the node's retries instead",
        "max_rpm": "rate limits belong to the model",
        "multimodal": _NONE,
        "planning": _NONE,
        "planning_config": _NONE,
        "prompt_template": "use the agent's system prompt instead",
        "reasoning": _NONE,
        "response_template": _NONE,
        "security_config": _NONE,
        "system_template": "use the agent's system prompt instead",
        "tool_failure_policy": _NONE,
    },
    harmless=frozenset(
        {
            "cache",
            "entity_type",
            "respect_context_window",
            "use_better_compaction",
            "use_system_prompt",
            "verbose",
        }
    ),
)

TASK = FieldTable(
    unsafe={
        "call": _CODE,
        "callback": _CODE,
        "condition": f"{_CODE}; the task always runs",
        "config": "it would override the fields read here",
        "converter_cls": _CODE,
        "human_input": _PERSON,
        "input_files": _FILES,
        "output_file": _FILES,
        "type": _CODE,
    },
    unsupported={
        "allow_crewai_trigger_context": _NONE,
        "async_execution": "tasks of a crew run one after another",
        "guardrail": "results are not checked by a second model",
        "guardrail_max_retries": "results are not checked by a second model",
        "guardrails": "results are not checked by a second model",
        "max_retries": "set the node's retries instead",
        "prompt_context": _NONE,
        "security_config": _NONE,
        "tool_failure_policy": _NONE,
    },
    harmless=frozenset({"create_directory"}),
)

CREW = FieldTable(
    unsafe={
        "after_kickoff_callbacks": _CODE,
        "before_kickoff_callbacks": _CODE,
        "call": _CODE,
        "checkpoint": _FILES,
        "config": "it would override the fields read here",
        "embedder": _REMOTE,
        "knowledge": _STORAGE,
        "knowledge_sources": f"{_FILES}; attach knowledge bases to agents instead",
        "memory": _STORAGE,
        "output_log_file": _FILES,
        "prompt_file": _FILES,
        "share_crew": _REMOTE,
        "skills": _FILES,
        "step_callback": _CODE,
        "task_callback": _CODE,
        "tracing": _REMOTE,
        "trained_agents_file": _FILES,
    },
    unsupported={
        "chat_llm": _NONE,
        "function_calling_llm": "an agent has one model",
        "max_rpm": "rate limits belong to the model",
        "planning": _NONE,
        "planning_llm": _NONE,
        "security_config": _NONE,
        "tool_failure_policy": _NONE,
    },
    harmless=frozenset({"cache", "entity_type", "stream", "verbose"}),
)

_LLM_SETTINGS = ("api_version", "deployment_name", "provider", "seed", "timeout", "top_p")

LLM = FieldTable(
    unsafe={
        "api_base": "addresses belong to a model record",
        "api_key": "keys belong to a model record, where they are encrypted",
        "base_url": "addresses belong to a model record",
    },
    unsupported=dict.fromkeys(_LLM_SETTINGS, "settings of a provider belong to a model record"),
    harmless=frozenset({"stream"}),
)
