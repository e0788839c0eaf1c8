"""What a running stack tells other commands about itself."""

from dataclasses import asdict, dataclass

from cli.stack.component import Component
from cli.stack.files import read_json, write_json
from cli.stack.layout import Home


@dataclass(frozen=True)
class ComponentState:
    name: str
    pid: int | None
    port: int | None
    started_at: float | None
    restarts: int
    log: str

    @classmethod
    def of(cls, component: Component) -> "ComponentState":
        process = component.process
        alive = process is not None and process.exit_code is None
        return cls(
            name=component.name,
            pid=process.pid if process and alive else None,
            port=component.port,
            started_at=process.started_at if process and alive else None,
            restarts=component.restarts,
            log=str(component.log),
        )


@dataclass(frozen=True)
class StackState:
    pid: int
    url: str
    split: bool
    ready: bool
    components: list[ComponentState]

    def write(self, home: Home) -> None:
        write_json(home.state_file, asdict(self))


def running_stack(home: Home) -> StackState | None:
    """The stack that runs on this data directory now, or None. A state file left by a killed one does not count."""
    holder = home.holder()
    stored = read_json(home.state_file)
    if holder is None or not stored or stored["pid"] != holder:
        return None
    components = [ComponentState(**part) for part in stored.pop("components")]
    return StackState(components=components, **stored)
