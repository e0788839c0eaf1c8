"""Keeps a conversation within the model's window, in crewAI's way and words, without its threads and loops."""

import re
from collections.abc import Sequence
from typing import Final

from crewai.utilities.i18n import I18N_DEFAULT

from services.orchestration.engine.ports import ChatMessage
from services.orchestration.runtimes.crewai.model import StepModel

# Of the room for a request; crewAI's own share before it puts a result into a file.
_TOOL_RESULT_SHARE: Final = 0.25
_OPENING: Final = 2  # the system message and the task stay as they are
_CHARACTERS_PER_TOKEN: Final = 2  # on the safe side: a piece to summarise must fit with the instructions around it
_SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)


def clip(result: str, model: StepModel) -> str:
    """One tool result may not take the whole window. The model is told what it does not see."""
    limit = int(model.get_context_window_size() * _TOOL_RESULT_SHARE * 4)
    if len(result) <= limit:
        return result
    return f"{result[:limit]}\n[Cut here: these are the first {limit} of {len(result)} characters.]"


def outgrown(messages: Sequence[ChatMessage], model: StepModel) -> bool:
    room = model.get_context_window_size()
    if sum(len(message.content) for message in messages) <= room:
        return False  # a token is never less than a character: no need to count
    return len(messages) > _OPENING and model.get_input_tokens_count(messages) > room


async def summarised(messages: Sequence[ChatMessage], model: StepModel) -> list[ChatMessage]:
    """The opening, and a summary by the model of all that came after it."""
    text = "\n\n".join(_render(message) for message in messages[_OPENING:])
    size = max(model.get_context_window_size() * _CHARACTERS_PER_TOKEN // 2, 1)
    summaries = [await _summarise(text[at : at + size], model) for at in range(0, len(text), size)]
    summary = I18N_DEFAULT.slice("summary").format(merged_summary="\n\n".join(summaries))
    return [*messages[:_OPENING], ChatMessage("user", summary)]


async def _summarise(text: str, model: StepModel) -> str:
    reply = await model.complete(
        [
            ChatMessage("system", I18N_DEFAULT.slice("summarizer_system_message")),
            ChatMessage("user", I18N_DEFAULT.slice("summarize_instruction").format(conversation=text)),
        ]
    )
    found = _SUMMARY.search(reply.text)
    return (found[1] if found else reply.text).strip()


def _render(message: ChatMessage) -> str:
    if message.role == "tool":
        return f"[TOOL_RESULT]: {message.content}"
    called = ", ".join(call.name for call in message.tool_calls)
    body = f"{message.content} [Called tools: {called}]".strip() if called else message.content
    return f"[{message.role.upper()}]: {body}"
