"""YAML to a tree, from the parser's events: no tags, no Python objects, no alias bombs, no recursion."""

import re
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.tree import (
    MAX_NUMBER_LENGTH,
    Budget,
    Node,
    Scalar,
    check_text,
    fits_json,
)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_parse: Any = cast(Any, yaml).parse  # its stub is only partly typed
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
_COLLECTION_TAGS = {None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_MERGE = "<<"

# YAML 1.1 as PyYAML reads it, which is what crewAI uses, without dates, base 60 and other surprises.
_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")


def parse_yaml(text: str, file: str) -> Node:
    """The one document in `text`. Raises `ProjectError` naming file and line."""
    check_text(text, file, 1)
    builder = _Builder(file)
    try:
        for event in _parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise ProjectError(Fault(f"is not valid YAML: {error.problem or error.context}", file, line)) from None
    except yaml.YAMLError as error:
        raise ProjectError(Fault(f"is not valid YAML: {error}", file)) from None
    return builder.root or Node(None, 1)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not been read yet."""

    line: int
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list[Node])
    entries: dict[str, Node] = field(default_factory=dict[str, Node])
    merged: list[Node] = field(default_factory=list[Node])
    key: str | None = None
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class _Built:
    node: Node
    size: int = 1
    height: int = 0


class _Builder:
    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self._file = file
        self._budget = Budget(file)
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Built] = {}

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event.anchor, line)
            case yaml.DocumentStartEvent() if self.root is not None:
                raise self._fault("holds more than one document", line)
            case _:
                pass

    def _scalar(self, event: Any, line: int) -> None:
        self._budget.spend(1, line)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            self._open_key(frame, event.value, line)
            return
        self._place(_Built(Node(self._value(event, line), line)), event.anchor)

    def _open_key(self, frame: _Open, key: str, line: int) -> None:
        check_text(key, self._file, line)
        if key in frame.entries:
            raise self._fault(f"'{key}' is given twice", line)
        frame.key = key

    def _value(self, event: Any, line: int) -> Scalar:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise self._fault(f"the tag {event.tag} is not allowed", line)
        text = check_text(event.value, self._file, line)
        is_plain = event.tag is None and event.implicit[0]
        return _resolve(text) if is_plain else text

    def _start(self, event: Any, line: int) -> None:
        if event.tag not in _COLLECTION_TAGS:
            raise self._fault(f"the tag {event.tag} is not allowed", line)
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is None:
            raise self._fault("a key must be text", line)
        self._budget.spend(1, line)
        self._budget.check_depth(len(self._stack) + 1, line)
        self._stack.append(_Open(line, event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _end(self) -> None:
        frame = self._stack.pop()
        node = Node(_merge(frame) if frame.is_mapping else frame.items, frame.line)
        self._place(_Built(node, frame.size, frame.height), frame.anchor)

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self._anchors:
            raise self._fault(f"the alias *{anchor} names nothing complete before it", line)
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is None:
            raise self._fault("a key must be text", line)
        built = self._anchors[anchor]
        self._budget.spend(built.size, line)
        self._budget.check_depth(len(self._stack) + built.height, line)
        self._place(built, None)

    def _place(self, built: _Built, anchor: str | None) -> None:
        node = built.node
        if anchor is not None:
            self._anchors[anchor] = built
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += built.size
        frame.height = max(frame.height, built.height + 1)
        if not frame.is_mapping:
            frame.items.append(node)
            return
        key, frame.key = frame.key, None
        assert key is not None  # `_start` and `_alias` refuse a value where a key belongs
        if key == _MERGE:
            frame.merged.extend(self._mappings(node))
        else:
            frame.entries[key] = node

    def _mappings(self, node: Node) -> list[Node]:
        nodes = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(item.value, dict) for item in nodes):
            raise self._fault("'<<' takes a mapping or a list of mappings", node.line)
        return nodes

    def _fault(self, message: str, line: int) -> ProjectError:
        return ProjectError(Fault(message, self._file, line))


def _merge(frame: _Open) -> dict[str, Node]:
    """A mapping's own entries win over merged ones, and earlier merged ones over later ones."""
    merged: dict[str, Node] = {}
    for node in reversed(frame.merged):
        assert isinstance(node.value, dict)
        merged.update(node.value)
    return {**merged, **frame.entries}


def _resolve(text: str) -> Scalar:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) > MAX_NUMBER_LENGTH:
        return text
    if _INT.fullmatch(text):
        number = int(text)
    elif _FLOAT.fullmatch(text):
        number = float(text)
    else:
        return text
    return number if fits_json(number) else text
