"""Which service answers which path: everything the gateway knows about paths stands in this one table.

The first row that fits decides. `{}` stands for one path segment, a trailing `**` for whatever follows, nothing
included. A test compares the table with every service's own OpenAPI.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum


class Traffic(StrEnum):
    """What is limited alike."""

    ORDINARY = "ordinary"
    CREDENTIALS = "credentials"  # what someone who guesses passwords would call
    CONTENT = "content"  # JSON that carries whole documents or projects
    UPLOAD = "upload"  # multipart files


ANY: frozenset[str] = frozenset()
READ = frozenset({"GET", "HEAD", "WEBSOCKET"})
POST = frozenset({"POST"})


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    service: str
    methods: frozenset[str] = ANY
    public: bool = False  # needs no sign-in
    traffic: Traffic = Traffic.ORDINARY


# Where a request's scope holds its route.
ROUTE = "quarterdeck.route"

_CREDENTIALS = Traffic.CREDENTIALS

TABLE = (
    Route("/.well-known/jwks.json", "auth", public=True),
    Route("/api/v1/auth/register", "auth", public=True, traffic=_CREDENTIALS),
    Route("/api/v1/auth/login", "auth", public=True, traffic=_CREDENTIALS),
    Route("/api/v1/auth/refresh-token", "auth", public=True),
    Route("/api/v1/auth/logout", "auth", public=True),
    Route("/api/v1/auth/**", "auth"),
    Route("/api/v1/users/**", "auth"),
    Route("/api/v1/tenants/**", "auth"),
    Route("/api/v1/roles/**", "auth"),
    Route("/api/v1/api-keys/**", "auth"),
    Route("/api/v1/models/**", "models"),
    Route("/api/v1/budgets/**", "models"),
    Route("/api/v1/agents/**", "agents"),
    Route("/api/v1/knowledge-bases/{}/documents", "knowledge_base", POST, traffic=Traffic.UPLOAD),
    Route("/api/v1/knowledge-bases/{}/text-content", "knowledge_base", POST, traffic=Traffic.CONTENT),
    Route("/api/v1/knowledge-bases/{}/chunk-preview", "knowledge_base", POST, traffic=Traffic.CONTENT),
    Route("/api/v1/knowledge-bases/**", "knowledge_base"),
    Route("/api/v1/knowledge-limits", "knowledge_base"),
    Route("/api/v1/documents/{}/content", "knowledge_base", frozenset({"PUT"}), traffic=Traffic.UPLOAD),
    Route("/api/v1/documents/**", "knowledge_base"),
    Route("/api/v1/evaluation-sets/{}/questions/import", "knowledge_base", POST, traffic=Traffic.CONTENT),
    Route("/api/v1/evaluation-sets/**", "knowledge_base"),
    Route("/api/v1/evaluation-runs/**", "knowledge_base"),
    Route("/api/v1/tools/**", "tools"),
    Route("/api/v1/connections/**", "tools"),
    Route("/api/v1/workflows/{}/executions", "execution_monitoring", READ),
    Route("/api/v1/workflows/import", "workflows", POST, traffic=Traffic.CONTENT),
    Route("/api/v1/workflows/**", "workflows"),
    Route("/api/v1/node-types", "workflows"),
    Route("/api/v1/triggers/**", "workflows"),
    Route("/api/v1/hooks/{}", "workflows", POST, public=True),
    Route("/api/v1/webhook-endpoints/**", "workflows"),
    Route("/api/v1/webhook-deliveries/**", "workflows"),
    Route("/api/v1/executions/**", "execution_monitoring", READ),
    Route("/api/v1/executions/**", "orchestration"),
    Route("/api/v1/execution-policy", "orchestration"),
    Route("/api/v1/inbox/**", "inbox"),
    Route("/api/v1/analytics/**", "analytics"),
)

SERVICES = tuple(dict.fromkeys(route.service for route in TABLE))


def _topic(path: str) -> str:
    """What follows /api/v1: the table's index."""
    parts = path.split("/", 4)
    return parts[3] if len(parts) > 3 and parts[1:3] == ["api", "v1"] else ""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\{\}", "[^/]+").replace(r"/\*\*", "(?:/.*)?"), re.DOTALL)


def _index() -> dict[str, list[tuple[re.Pattern[str], Route]]]:
    index: dict[str, list[tuple[re.Pattern[str], Route]]] = defaultdict(list)
    for route in TABLE:
        index[_topic(route.path)].append((_pattern(route.path), route))
    return dict(index)


_INDEX = _index()


def find_route(method: str, path: str) -> Route | None:
    """`method` is an HTTP method, or WEBSOCKET."""
    for pattern, route in _INDEX.get(_topic(path), ()):
        if (not route.methods or method in route.methods) and pattern.fullmatch(path):
            return route
    return None
