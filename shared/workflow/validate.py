"""Everything that can be known to be wrong with a workflow before it runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from shared.kit.json import Json, JsonObject, canonical
from shared.workflow.cel.values import is_map
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.configs.flow import BodyConfig, LoopConfig
from shared.workflow.configs.people import QuestionConfig
from shared.workflow.expressions import Expression, ExpressionError, Template, compile_expression, compile_template
from shared.workflow.graph import MAX_NESTING, MAX_NODES, Graph, Node
from shared.workflow.inputs import check_inputs, check_schema, known_inputs, with_defaults
from shared.workflow.places import Level, Paths
from shared.workflow.problems import Problem, Severity, error
from shared.workflow.python import check_python
from shared.workflow.shape import check_ids, check_shape
from shared.workflow.texts import BodyMark, Marked, PythonMark, Refers, SchemaMark, Syntax, marked

__all__ = ["Problem", "References", "Severity", "validate_graph", "validate_inputs"]

# Characters of CEL and of schemas in one graph: about a second of checking.
MAX_LANGUAGE = 120_000
MAX_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class References:
    """What of the tenant's a graph may refer to. `agents` gives each agent's model, if it has one; `tools` are those
    that a node can use, and `missing_tools` the ones that an agent was given and that are gone. `model_kinds` has the
    kinds of models that are no chat models."""

    agents: Mapping[UUID, UUID | None] = field(default_factory=dict[UUID, "UUID | None"])
    models: AbstractSet[UUID] = frozenset()
    model_kinds: Mapping[UUID, str] = field(default_factory=dict[UUID, str])
    knowledge_bases: AbstractSet[UUID] = frozenset()
    connections: AbstractSet[UUID] = frozenset()
    tools: AbstractSet[str] = frozenset()
    missing_tools: Mapping[UUID, Sequence[str]] = field(default_factory=dict[UUID, Sequence[str]])


def validate_graph(graph: JsonObject, references: References) -> list[Problem]:
    """The problems, those of the graph's form alone if it has any. Without an error the graph can run."""
    try:
        parsed = Graph.model_validate(graph)
    except ValidationError as broken:
        return [_form_problem(each, graph) for each in _faults(broken)[:MAX_PROBLEMS]]
    return list(islice(_Validation(parsed, references).problems(), MAX_PROBLEMS))


def validate_inputs(graph: Graph, inputs: Json) -> list[Problem]:
    """What keeps a valid graph from being run with these inputs."""
    return check_inputs({"type": "object", **graph.inputs}, inputs)


class _TooMuchLanguage(Exception):
    """Checking all of the graph would take too long."""


class _Validation:
    def __init__(self, graph: Graph, references: References) -> None:
        self._graph = graph
        self._references = references
        self._all = list(graph.all_homes())
        self._paths = Paths(known_inputs(graph.inputs), {node.id: home for home, node in self._all})
        self._language_left = MAX_LANGUAGE

    def problems(self) -> Iterator[Problem]:
        try:
            yield from self._problems()
        except _TooMuchLanguage:
            message = f"the graph has more than {MAX_LANGUAGE:,} characters of expressions and schemas: split it up"
            yield error("graph_too_large", message)

    def _problems(self) -> Iterator[Problem]:
        yield from self._check_inputs_schema()
        if len(self._all) > MAX_NODES:
            yield error("graph_too_large", f"the graph has more than {MAX_NODES} nodes, those in bodies counted")
        yield from check_ids(node for _, node in self._all)
        level = Level(self._graph)
        yield from self._check_level(level)
        for name, source in self._graph.outputs.items():
            yield from self._check_text(source, "cel", _Place(level, None, f"outputs.{name}"), level.at_the_end)

    def _check_level(self, level: Level) -> Iterator[Problem]:
        for node in level.graph.nodes:
            yield from self._check_node(node, level)
        ports = {node: config.ports for node, config in level.configs.items()}
        yield from (level.placed(problem) for problem in check_shape(level.graph, ports))
        yield from self._check_edges(level)

    # --- inputs -------------------------------------------------------------------------------------------

    def _check_inputs_schema(self) -> Iterator[Problem]:
        schema = self._graph.inputs
        if schema.get("type", "object") != "object":
            yield error("inputs_schema_invalid", 'inputs: the type must be "object"', field="inputs.type")
            return
        self._charge(len(canonical(schema)))
        complaints = check_schema(schema)
        yield from (error("inputs_schema_invalid", f"inputs: {c}", field="inputs") for c in complaints)
        if not complaints:
            yield from _check_defaults(schema)

    # --- nodes --------------------------------------------------------------------------------------------

    def _check_node(self, node: Node, level: Level) -> Iterator[Problem]:
        model = NODE_CONFIGS.get(node.type)
        if model is None:
            known = ", ".join(NODE_CONFIGS)
            yield error(
                "node_type_unknown",
                f"node {node.id!r}: no type {node.type!r}; there are {known}",
                node=node.id,
                field="type",
            )
            return
        try:
            config = model.model_validate(node.config)
        except ValidationError as broken:
            yield from (_config_problem(node, each) for each in _faults(broken))
            return
        level.configs[node.id] = config
        if isinstance(config, BodyConfig):
            yield from self._check_body(node, config, level)
        for each in marked(config):
            yield from self._check_marked(node, each, level)
        if isinstance(config, QuestionConfig):
            yield from _check_default_answer(node, config)

    def _check_body(self, node: Node, config: BodyConfig, level: Level) -> Iterator[Problem]:
        if node.retry is not None:
            message = f"node {node.id!r}: a {node.type} is not tried again as a whole: put it on the nodes within"
            yield error("retry_refused", message, node=node.id, field="retry")
        inside = level.inside(node, config, config.body)
        if inside.around.depth > MAX_NESTING:
            message = f"node {node.id!r}: bodies may be nested {MAX_NESTING} deep at most"
            yield error("nesting_too_deep", message, node=node.id, field="body")
            return
        yield from self._check_level(inside)
        if config.body.output is not None:
            place = _Place(inside, node.id, "body.output")
            yield from self._check_text(config.body.output, "cel", place, inside.at_the_end)
        if isinstance(config, LoopConfig):
            yield from self._check_text(config.until, "cel", _Place(inside, node.id, "until"), inside.at_the_end)

    def _check_marked(self, node: Node, each: Marked, level: Level) -> Iterator[Problem]:
        match each.mark:
            case BodyMark() | Syntax(inner=True):
                pass
            case Syntax(kind=kind):
                place = _Place(level, node.id, each.field)
                yield from self._check_text(each.value, kind, place, level.before(node.id))
            case Refers(kind="workflow"):
                pass
            case Refers():
                yield from self._check_reference(node, each.mark, each)
            case PythonMark():
                self._charge(len(each.value))
                for complaint in check_python(each.value):
                    message = f"node {node.id!r}, {each.field}: {complaint}"
                    yield error("code_invalid", message, node=node.id, field=each.field)
            case SchemaMark():
                self._charge(len(canonical(each.value)))
                for complaint in check_schema(each.value):
                    yield error(
                        "schema_invalid", f"node {node.id!r}, {each.field}: {complaint}", node=node.id, field=each.field
                    )

    def _check_reference(self, node: Node, mark: Refers, each: Marked) -> Iterator[Problem]:
        kind = mark.kind
        known: Mapping[str, AbstractSet[Any]] = {
            "agent": self._references.agents.keys(),
            "model": self._references.models,
            "knowledge_base": self._references.knowledge_bases,
            "connection": self._references.connections,
            "tool": self._references.tools,
        }
        named = kind.replace("_", " ")
        place = f"node {node.id!r}, {each.field}"
        if each.value not in known[kind]:
            message = f"{place}: there is no {named} {each.value}: choose one that exists"
            yield error(f"{kind}_unknown", message, node=node.id, field=each.field)
        elif kind == "model":
            yield from self._check_kind(each.value, mark.model_kinds, place, node.id, each.field)
        elif kind == "agent":
            yield from self._check_model_of(each.value, place, node.id, each.field)
            for tool in self._references.missing_tools.get(each.value, ()):
                message = f"{place}: the agent's tool {tool} does not exist: take it from the agent"
                yield error("tool_missing", message, node=node.id, field=each.field)

    def _check_model_of(self, agent: UUID, place: str, node: str, field_: str) -> Iterator[Problem]:
        model = self._references.agents[agent]
        if model is None:
            yield error("model_missing", f"{place}: the agent has no model: give it one", node=node, field=field_)
        elif model not in self._references.models:
            message = f"{place}: the agent's model {model} does not exist: give the agent another"
            yield error("model_missing", message, node=node, field=field_)
        else:
            yield from self._check_kind(model, ("chat",), f"{place}: of the agent", node, field_)

    def _check_kind(self, model: UUID, wanted: Sequence[str], place: str, node: str, field_: str) -> Iterator[Problem]:
        kind = self._references.model_kinds.get(model, "chat")
        if kind not in wanted:
            message = f"{place}: model {model} is of kind {kind}: choose one of kind {' or '.join(wanted)}"
            yield error("model_kind_wrong", message, node=node, field=field_)

    # --- edges --------------------------------------------------------------------------------------------

    def _check_edges(self, level: Level) -> Iterator[Problem]:
        for index, edge in enumerate(level.graph.edges):
            if edge.when is not None and edge.source in level.ids:
                field_ = f"edges.{index}.when"
                body = level.around.node
                place = _Place(level, edge.source, field_) if body is None else _Place(level, body, f"body.{field_}")
                yield from self._check_text(edge.when, "cel", place, level.before(edge.source) | {edge.source})

    # --- texts --------------------------------------------------------------------------------------------

    def _check_text(self, source: str, kind: str, place: "_Place", visible: AbstractSet[str]) -> Iterator[Problem]:
        node, field_ = place.node, place.field
        where = f"node {node!r}, {field_}" if node else field_
        try:
            text: Expression | Template = compile_expression(source) if kind == "cel" else compile_template(source)
        except ExpressionError as broken:
            self._charge(len(source))
            at = "" if broken.position is None else f" (at character {broken.position + 1})"
            yield error("expression_invalid", f"{where}: {broken.message}{at}", node=node, field=field_)
            return
        self._charge(text.size)
        for path in text.paths:
            for code, complaint in self._paths.complaints(path, visible, place.level.around):
                yield error(code, f"{where}: {complaint}", node=node, field=field_)

    def _charge(self, characters: int) -> None:
        self._language_left -= characters
        if self._language_left < 0:
            raise _TooMuchLanguage


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a text stands, and what its problems are said of."""

    level: Level
    node: str | None
    field: str


def _check_defaults(schema: JsonObject) -> Iterator[Problem]:
    for broken in check_inputs({**schema, "required": []}, with_defaults(schema, {})):
        yield error(
            "inputs_schema_invalid", f"a default does not fit its own schema: {broken.message}", field=broken.field
        )


def _check_default_answer(node: Node, config: QuestionConfig) -> Iterator[Problem]:
    schema = config.answer_schema
    if schema is None or config.default is None or any(check_schema(schema)):
        return
    for broken in check_inputs(schema, config.default):
        message = f"node {node.id!r}, default: it does not fit answer_schema: {_of_default(broken.message)}"
        yield error("default_invalid", message, node=node.id, field=_of_default(broken.field or "inputs"))


def _of_default(text: str) -> str:
    """`check_inputs` speaks of inputs."""
    return text.replace("inputs", "default", 1)


def _faults(broken: ValidationError) -> list[Any]:
    """Pydantic's findings, without the complaint that a list is too short because its elements are wrong."""
    found = broken.errors()
    places = [each["loc"] for each in found]

    def is_inside(place: tuple[int | str, ...]) -> bool:
        return any(other[: len(place)] == place != other for other in places)

    return [each for each in found if each["type"] != "too_short" or not is_inside(each["loc"])]


def _config_problem(node: Node, broken: Any) -> Problem:
    path = _path(broken["loc"])
    place = f"node {node.id!r}, {path}" if path else f"node {node.id!r}"
    return error("config_invalid", f"{place}: {_wording(broken)}", node=node.id, field=path or None)


def _form_problem(broken: Any, graph: JsonObject) -> Problem:
    location: tuple[str | int, ...] = broken["loc"]
    node = None
    match location:
        case ("nodes", int() as index, *rest):
            node, location = _node_id(graph, index), tuple(rest)
        case _:
            pass
    path = _path(location)
    place = ", ".join(filter(None, (node and f"node {node!r}", path)))
    return error("graph_invalid", f"{place or 'graph'}: {_wording(broken)}", node=node, field=path or None)


def _path(location: Iterable[str | int]) -> str:
    """A key that is wrong is named by itself, without the mark that pydantic puts after it."""
    return ".".join(str(part) for part in location if part != "[key]")


def _node_id(graph: JsonObject, index: int) -> str:
    node: Any = graph["nodes"][index]
    named: Any = node.get("id") if is_map(node) else None
    return named if isinstance(named, str) else f"#{index}"


_WORDINGS = {
    "missing": "this field is required",
    "extra_forbidden": "there is no such field",
    "tuple_type": "this must be a list",
    "dict_type": "this must be an object",
    "model_type": "this must be an object",
    "model_attributes_type": "this must be an object",
    "uuid_parsing": "this must be an id",
    "string_pattern_mismatch": "use letters, digits and _, not beginning with a digit, at most 64",
}


def _wording(broken: Any) -> str:
    message: str = broken["msg"].removeprefix("Value error, ")
    if broken["type"] == "too_short":
        return f"give at least {broken['ctx']['min_length']}"
    return _WORDINGS.get(broken["type"], message)
