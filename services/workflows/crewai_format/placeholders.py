"""crewAI's `{placeholder}` and our `{{ inputs.placeholder }}`, each made of the other."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from shared.workflow.cel.errors import ExpressionError
from shared.workflow.cel.parser import parse, parse_embedded
from shared.workflow.cel.syntax import Constant, Field, Index, Name, Node, Postfix

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
# Doubled braces come from authors who think of str.format or Jinja: they mean the value, not braces around it.
_PLACEHOLDER = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}")
_PLAIN_NAME = re.compile(_NAME)


@dataclass(frozen=True, slots=True)
class _Input:
    name: str


@dataclass(frozen=True, slots=True)
class CrewText:
    """A template as crewAI would have it, and what it cannot say.

    `lost` are expressions other than inputs. `misread` tells that crewAI would take literal braces for a placeholder.
    """

    text: str
    lost: tuple[str, ...]
    misread: bool


def placeholders(text: str) -> list[str]:
    """The names that a crewAI text asks for, in order, each once."""
    return list(dict.fromkeys(part.name for part in _crew_parts(text) if isinstance(part, _Input)))


def to_template(text: str) -> str:
    """A crewAI text as a template that renders the same; braces that are no placeholder stay literal."""
    written: list[str] = []
    for part, following in pairwise([*_crew_parts(text), ""]):
        if isinstance(part, _Input):
            written.append(f"{{{{ {input_expression(part.name)} }}}}")
        else:
            written.append(_literal(part, before_expression=isinstance(following, _Input)))
    return "".join(written)


def to_crewai(template: str, replace: Callable[[Node], str | None] = lambda _: None) -> CrewText:
    """The crewAI text of a template. `replace` may say in words what an expression stands for."""
    parts: list[str | _Input] = []
    lost: list[str] = []
    for part in _template_parts(template):
        said = part if isinstance(part, str) else _say(part.tree, replace)
        if said is None and isinstance(part, _Expression):
            lost.append(part.source)
        elif isinstance(said, str) and parts and isinstance(parts[-1], str):
            parts[-1] += said
        elif said:
            parts.append(said)
    text = "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in parts)
    return CrewText(text, tuple(lost), misread=_crew_parts(text) != parts)


def input_expression(name: str) -> str:
    """CEL for an input of any name that crewAI allows."""
    return f"inputs.{name}" if _is_field(name) else f'inputs["{name}"]'


def _is_field(name: str) -> bool:
    """Whether the name may follow a dot: CEL keeps some words for itself, and a hyphen is a minus."""
    try:
        parse(f"inputs.{name}")
    except ExpressionError:
        return False
    return "-" not in name


def _crew_parts(text: str) -> list[str | _Input]:
    parts: list[str | _Input] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [text[end : match.start()], _Input(match[1] or match[2])]
        end = match.end()
    return [part for part in (*parts, text[end:]) if part]


def _literal(text: str, *, before_expression: bool) -> str:
    escaped = text.replace("{{", '{{ "{{" }}')
    if before_expression and escaped.endswith("{"):
        escaped = escaped[:-1] + '{{ "{" }}'
    return escaped


@dataclass(frozen=True, slots=True)
class _Expression:
    tree: Node
    source: str


def _template_parts(template: str) -> Iterator[str | _Expression]:
    end = 0
    while (start := template.find("{{", end)) >= 0:
        try:
            tree, after = parse_embedded(template, start + 2)
        except ExpressionError:  # a draft may hold such text; it leaves as it is
            break
        yield template[end:start]
        yield _Expression(tree, template[start + 2 : after - 2].strip())
        end = after
    yield template[end:]


def _say(tree: Node, replace: Callable[[Node], str | None]) -> str | _Input | None:
    match tree:
        case Constant(value=str(text)):
            return text
        case Postfix(base=Name(name="inputs"), steps=(Field(name=str(name)) | Index(index=Constant(value=str(name))),)):
            return _Input(name) if _PLAIN_NAME.fullmatch(name) else replace(tree)
        case _:
            return replace(tree)
