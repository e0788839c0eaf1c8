"""crewAI projects to import: the examples in this repository, and real ones where they are at hand."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.workflows.crewai_format.names import PoolModel
from services.workflows.crewai_format.read import read_project
from services.workflows.crewai_format.to_graph import Catalog
from shared.kit.ids import new_id

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "crewai"
REAL = ROOT.parent / "shared" / "data" / "crewai-projects"
REAL_NAMES = sorted(folder.name for folder in REAL.iterdir() if folder.is_dir()) if REAL.is_dir() else []
_CONFIG_KEY = re.compile(r"self\.\w+_config\['(?P<key>[^']+)'\]")
_METHOD = re.compile(r"self\.(?P<name>\w+)\(\)")

needs_real_projects = pytest.mark.skipif(not REAL_NAMES, reason=f"the real crewAI projects are not at {REAL}")

# screenplay_writer starts its tasks one by one from plain Python, so its binding file is empty; by what the tasks
# ask for and what the agents can do, this is who does what.
SCREENPLAY = {
    "task0": "spamfilter",
    "task1": "analyst",
    "task2": "scriptwriter",
    "task3": "formatter",
    "task4": "scorer",
}


@dataclass(frozen=True)
class Project:
    files: dict[str, str]
    bindings: dict[str, str]


def example(name: str) -> dict[str, str]:
    folder = EXAMPLES / name
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def real_project(name: str) -> Project:
    """The YAML files, and the bindings that crew.py makes where the YAML names no agent."""
    folder = REAL / name
    files = {f"{name}/{file}": (folder / file).read_text() for file in ("agents.yaml", "tasks.yaml")}
    unbound = {task.key for task in read_project(files).project.tasks if task.agent is None}
    said = json.loads((folder / "binding.from_crew_py.json").read_text())
    bindings = SCREENPLAY if name == "screenplay_writer" else _bindings(said["agents"], said["tasks"])
    return Project(files, {task: agent for task, agent in bindings.items() if task in unbound})


def _bindings(agents: dict[str, dict[str, str]], tasks: dict[str, dict[str, str]]) -> dict[str, str]:
    """crew.py speaks of its methods; the files of the keys that those methods read."""
    keys = {method: _match(_CONFIG_KEY, about["config"]) for method, about in agents.items()}
    return {
        _match(_CONFIG_KEY, about["config"]): keys[_match(_METHOD, about["agent"])]
        for about in tasks.values()
        if "agent" in about
    }


def _match(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.fullmatch(text)
    assert found is not None, text
    return found[1]


LOCAL = PoolModel(new_id(), "Local model", "local", "local-llm")
GPT = PoolModel(new_id(), "Quick", "openai", "gpt-4.1-mini")
CATALOG = Catalog(tools=["calculator", "knowledge_search", "serper_dev"], models=[LOCAL, GPT], fallback=LOCAL)
