"""What there is to build a graph of: every node type, told so that a program can fill in its config."""

from dataclasses import dataclass
from functools import cache
from inspect import cleandoc

from shared.kit.json import JsonObject
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.configs.base import NodeConfig
from shared.workflow.configs.flow import BodyConfig
from shared.workflow.states import CallKind, Effect, WaitKind


@dataclass(frozen=True, slots=True)
class NodeType:
    """`config_schema` is a JSON Schema that stands alone; the rest is as in `About`."""

    type: str
    title: str
    description: str
    config_schema: JsonObject
    ports: tuple[str, ...]
    ports_from: tuple[str, ...]
    calls: tuple[CallKind, ...]
    effect: Effect | None
    waits: tuple[WaitKind, ...]
    has_body: bool
    may_retry: bool


@cache
def node_types() -> tuple[NodeType, ...]:
    """In the order of the registry."""
    return tuple(_node_type(name, config) for name, config in NODE_CONFIGS.items())


def _node_type(name: str, config: type[NodeConfig]) -> NodeType:
    about = config.about
    has_body = issubclass(config, BodyConfig)
    schema = config.model_json_schema(by_alias=True)
    return NodeType(
        type=name,
        title=about.title,
        # Told once, beside the schema.
        description=schema.pop("description", cleandoc(config.__doc__ or "")),
        config_schema=schema,
        ports=about.ports,
        ports_from=about.ports_from,
        calls=about.calls,
        effect=about.effect,
        waits=about.waits,
        has_body=has_body,
        may_retry=not has_body,
    )
