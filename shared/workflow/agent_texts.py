"""Role, goal and backstory of an agent are templates over the inputs of the execution that it works in.

An agent in a snapshot has them as they read with the inputs of that execution. What they were made of is kept in
`templates`, for other inputs: of a fork, a re-run, or an execution that is started as part of another.
"""

from shared.kit.json import JsonObject
from shared.workflow.expressions import ExpressionError, Meter, compile_template

TEXTS = ("role", "goal", "backstory")


class AgentTextError(Exception):
    """A text cannot be made of these inputs."""

    def __init__(self, agent: str, reason: str) -> None:
        self.message = f"the texts of agent {agent!r} cannot be made of these inputs: {reason}"
        super().__init__(self.message)


def templates_of(texts: JsonObject) -> JsonObject:
    """Those of an agent's texts that depend on the inputs."""
    return {name: texts[name] for name in TEXTS if "{{" in texts[name]}


def render_agents(agents: JsonObject, inputs: JsonObject, *, alone: bool = False) -> JsonObject:
    """A snapshot's agents for these inputs. `alone` says that they work outside the workflow they were written for:
    inputs that they ask for in vain are called by their names, and a text that is no template stays as it is.

    Raises `AgentTextError`, unless `alone`.
    """
    meter = Meter()
    return {id_: _render(agent, inputs, meter, alone=alone) for id_, agent in agents.items()}


def _render(agent: JsonObject, inputs: JsonObject, meter: Meter, *, alone: bool) -> JsonObject:
    templates: JsonObject = agent.get("templates") or {}
    if alone:
        return {**agent, **{name: _render_alone(source, inputs, meter) for name, source in templates.items()}}
    try:
        texts = {name: compile_template(source).render({"inputs": inputs}, meter) for name, source in templates.items()}
    except ExpressionError as broken:
        raise AgentTextError(agent["name"], broken.message) from None
    return {**agent, **texts}


def _render_alone(source: str, inputs: JsonObject, meter: Meter) -> str:
    try:
        template = compile_template(source)
        asked = {str(path[1]): str(path[1]) for path in template.paths if path[0] == "inputs" and len(path) > 1}
        return template.render({"inputs": {**asked, **inputs}}, meter)
    except ExpressionError:
        return source
