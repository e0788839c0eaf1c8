"""The text of a final answer, read out of the JSON that carries it while that is still being written."""

import re

import orjson

from shared.llm.types import Delta, DeltaSink

FINAL_ANSWER = "final_answer"

_ANSWER_START = re.compile(rf'^\s*\{{\s*"name"\s*:\s*"{FINAL_ANSWER}"\s*,\s*"arguments"\s*:\s*\{{\s*"text"\s*:\s*"')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class AnswerStream:
    def __init__(self, sink: DeltaSink) -> None:
        self._sink = sink
        self._buffer = ""
        self._state = "start"

    def take(self, delta: Delta) -> None:
        if delta.kind == "reasoning":
            self._sink(delta)
            return
        if self._state == "end":
            return
        self._buffer += delta.text
        if self._state == "start":
            found = _ANSWER_START.match(self._buffer)
            if not found:
                return
            self._buffer = self._buffer[found.end() :]
            self._state = "text"
        if text := self._decoded():
            self._sink(Delta("message", text))

    def _decoded(self) -> str:
        """What can be told of the string so far; an escape that is not complete yet stays in the buffer."""
        out: list[str] = []
        at = 0
        while at < len(self._buffer):
            char = self._buffer[at]
            if char == '"':
                self._state = "end"
                break
            if char != "\\":
                out.append(char)
                at += 1
                continue
            length = _escape_length(self._buffer, at)
            if length is None:
                break
            out.append(_unescape(self._buffer[at : at + length]))
            at += length
        self._buffer = self._buffer[at:]
        return "".join(out)


def _escape_length(text: str, at: int) -> int | None:
    """How long the escape at `at` is; None while more of it must come. Surrogate pairs count as one."""
    if at + 1 >= len(text):
        return None
    if text[at + 1] != "u":
        return 2
    if at + 6 > len(text):
        return None
    high_surrogate = text[at + 2 : at + 4].lower() in ("d8", "d9", "da", "db")
    if not high_surrogate or not "\\u".startswith(text[at + 6 : at + 8]):
        return 6
    return 12 if at + 12 <= len(text) else None


def _unescape(escape: str) -> str:
    if escape[1] != "u":
        return _ESCAPES.get(escape[1], escape[1])
    try:
        decoded: str = orjson.loads(f'"{escape}"')
    except orjson.JSONDecodeError:
        return "\ufffd"
    return decoded
