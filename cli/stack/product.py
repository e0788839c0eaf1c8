"""Quarterdeck's own processes: the API in one piece or one process per service, and the worker."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.stack.component import Component, http_answers
from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import LOOPBACK, find_free
from cli.stack.process import Launch

SERVICES = (
    "auth",
    "models",
    "agents",
    "knowledge_base",
    "tools",
    "workflows",
    "orchestration",
    "execution_monitoring",
    "inbox",
    "analytics",
)


class WebProcess(Component):
    """An ASGI app in a server process of its own."""

    ready_within = 60.0
    stop_within = 8.0

    def __init__(
        self,
        name: str,
        title: str,
        app: str,
        *,
        port: int,
        environment: Mapping[str, str],
        log: Path,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(log)
        self.name = name
        self.title = title
        self._app = app
        self._options = options
        self._port = port
        self._environment = environment

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def launch(self) -> Launch:
        return Launch(
            argv=[
                sys.executable, "-m", "shared.web.server", self._app,
                "--host", LOOPBACK, "--port", str(self._port), *self._options,
            ],
            log=self.log,
            environment=self._environment,
            directory=PROJECT_ROOT,
        )  # fmt: skip

    async def probe(self) -> bool:
        return await http_answers(self._port, "/readyz")


class Worker(Component):
    """Runs executions. Told to stop, it hands over what it has not finished."""

    name = "worker"
    title = "The worker"
    ready_within = 60.0
    stop_within = 15.0

    def __init__(self, *, environment: Mapping[str, str], log: Path, port: int | None = None) -> None:
        super().__init__(log)
        self._environment = environment
        self._port = port or find_free()

    @property
    def port(self) -> int:
        """Of its health and metrics; work reaches it another way."""
        return self._port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def launch(self) -> Launch:
        return Launch(
            argv=[sys.executable, "-m", "services.orchestration.worker"],
            log=self.log,
            environment={**self._environment, "QUARTERDECK_WORKER_HTTP_ADDRESS": f"{LOOPBACK}:{self._port}"},
            directory=PROJECT_ROOT,
        )

    async def probe(self) -> bool:
        return await http_answers(self._port, "/readyz")


def one_process(port: int, environment: Mapping[str, str], logs: Path) -> list[WebProcess]:
    return [
        WebProcess("api", "The API", "gateway.embedded:app", port=port, environment=environment, log=logs / "api.log")
    ]


def one_process_each(
    port: int, ports: Mapping[str, int], environment: Mapping[str, str], logs: Path
) -> list[WebProcess]:
    """Each service alone, and the gateway as a proxy before them."""
    services = [
        WebProcess(
            name,
            f"The service {name}",
            f"services.{name}.main:app",
            port=ports[name],
            environment=environment,
            log=logs / f"{name}.log",
            options=["--behind-proxy"],
        )
        for name in SERVICES
    ]
    gateway = WebProcess(
        "gateway", "The gateway", "gateway.main:app", port=port, environment=environment, log=logs / "gateway.log"
    )
    return [*services, gateway]
