import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workflows.crewai_format.placeholders import placeholders, to_crewai, to_template
from shared.workflow.expressions import compile_template

VALUES = {"x": "X", "y": "Y", "a-b": "AB", "for": "F", "true": "T"}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("about {x}, {a-b} and {for}", "about X, AB and F"),
        ("{x}{y}", "XY"),
        ('{"json": 1, "more": {}}', '{"json": 1, "more": {}}'),
        ("{ x } {1} {}", "{ x } {1} {}"),
        ("doubled {{x}}", "doubled X"),
        ("{{{x}}}", "{X}"),
        ("{{ x }} and {{", "{{ x }} and {{"),
        ("{true}", "T"),
        ("", ""),
    ],
)
def test_a_template_renders_what_the_text_means(text: str, rendered: str) -> None:
    assert compile_template(to_template(text)).render({"inputs": VALUES}) == rendered


@given(st.text(alphabet='{}xy- "', max_size=30))
def test_any_text_becomes_a_template_that_asks_for_the_same_inputs(text: str) -> None:
    template = compile_template(to_template(text))
    assert {path[1] for path in template.paths} == set(placeholders(text))


@given(st.text(alphabet='{}xy- "', max_size=30))
def test_what_comes_back_is_the_same_template_or_is_said_to_be_misread(text: str) -> None:
    template = to_template(text)
    said = to_crewai(template)
    assert said.lost == ()
    assert said.misread or to_template(said.text) == template


def test_expressions_that_crewai_cannot_say_are_told() -> None:
    said = to_crewai("{{ inputs.x }} {{ nodes.a.output.text }} {{ size(inputs.y) }} {{ inputs.a.b }}!")
    assert said.text == "{x}   !"
    assert said.lost == ("nodes.a.output.text", "size(inputs.y)", "inputs.a.b")


def test_braces_that_crewai_would_take_for_a_placeholder_are_told() -> None:
    assert to_crewai("literal {x}").misread
    assert not to_crewai('literal {"x"}').misread


def test_a_broken_template_leaves_as_it_is() -> None:
    assert to_crewai("a {{ inputs.x }} {{ broken").text == "a {x} {{ broken"
