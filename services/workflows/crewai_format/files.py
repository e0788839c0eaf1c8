"""Finds the crew among named texts. Names are labels to look up, never paths to open."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.tree import is_unicode

MAX_FILES = 500
MAX_FILE_CHARACTERS = 256 * 1024
MAX_NAME_CHARACTERS = 300

T = TypeVar("T")

_JSON_ENDINGS = (".jsonc", ".json")
_YAML_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class File:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ClassicFiles:
    agents: File
    tasks: File


@dataclass(frozen=True, slots=True)
class JsonFiles:
    """`agents` by the name the crew calls them."""

    crew: File
    agents: dict[str, File]


class ProjectFiles:
    """The named texts of one project, looked up by folder and stem."""

    def __init__(self, files: Mapping[str, str]) -> None:
        if len(files) > MAX_FILES:
            raise ProjectError(Fault(f"{len(files)} files are more than the {MAX_FILES} a project may have"))
        self._files = {_label(name): File(name, text) for name, text in files.items()}

    def __len__(self) -> int:
        return len(self._files)

    def classic(self) -> ClassicFiles | None:
        """`agents.yaml` with the `tasks.yaml` beside it, wherever they lie."""
        folders = self._folders_of("agents", _YAML_ENDINGS)
        found = [pair for folder in folders if (pair := self._pair(folder)) is not None]
        return _only_one(found, [pair.agents.name for pair in found])

    def json(self) -> JsonFiles | None:
        """`crew.jsonc` with the `agents/*.jsonc` beside it."""
        folders = self._folders_of("crew", _JSON_ENDINGS)
        found = [self._find(folder, "crew", _JSON_ENDINGS) for folder in folders]
        crews = [crew for crew in found if crew is not None]
        crew = _only_one(crews, [crew.name for crew in crews])
        return None if crew is None else JsonFiles(_checked(crew), self._agents_beside(crew))

    def _pair(self, folder: str) -> ClassicFiles | None:
        agents = self._find(folder, "agents", _YAML_ENDINGS)
        tasks = self._find(folder, "tasks", _YAML_ENDINGS)
        return ClassicFiles(_checked(agents), _checked(tasks)) if agents and tasks else None

    def _agents_beside(self, crew: File) -> dict[str, File]:
        folder = _join(_label(crew.name).rpartition("/")[0], "agents")
        agents: dict[str, File] = {}
        for ending in reversed(_JSON_ENDINGS):  # .jsonc wins, as in crewAI
            for name, file in self._files.items():
                parent, _, base = name.rpartition("/")
                if parent == folder and base.endswith(ending) and base != ending:
                    agents[base.removesuffix(ending)] = _checked(file)
        return agents

    def _folders_of(self, stem: str, endings: Iterable[str]) -> list[str]:
        bases = {stem + ending for ending in endings}
        names = (name.rpartition("/") for name in self._files)
        return list(dict.fromkeys(folder for folder, _, base in names if base in bases))

    def _find(self, folder: str, stem: str, endings: Iterable[str]) -> File | None:
        names = (_join(folder, stem + ending) for ending in endings)
        return next((self._files[name] for name in names if name in self._files), None)


def _only_one(found: list[T], names: list[str]) -> T | None:
    if len(found) > 1:
        raise ProjectError(Fault(f"holds several crews; import one at a time: {', '.join(names[:10])}"))
    return found[0] if found else None


def _label(name: str) -> str:
    if len(name) > MAX_NAME_CHARACTERS or "\x00" in name or not is_unicode(name):
        raise ProjectError(Fault(f"a file name is no text, or longer than {MAX_NAME_CHARACTERS} characters"))
    return name.replace("\\", "/").removeprefix("./")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _checked(file: File) -> File:
    if len(file.text) > MAX_FILE_CHARACTERS:
        raise ProjectError(Fault(f"is longer than {MAX_FILE_CHARACTERS} characters", file.name))
    return file
