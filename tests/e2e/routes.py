"""Every operation of the merged API description, with a body that would be accepted from the right person."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import update

from shared.database.session import Database, Scope
from shared.database.tables.knowledge import Document, DocumentText
from shared.database.tables.ledger import StepRow, WaitRow
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.support.product import Client, Product

# Anyone may call these; everything else is 401 without credentials.
PUBLIC = {
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh-token",
    "POST /api/v1/auth/logout",
    "GET /.well-known/jwks.json",
    # Its deliveries are signed.
    "POST /api/v1/hooks/{token}",
}
# Answers of these do not end by themselves.
STREAMS = ("/events", "/inbox/stream")

GRAPH = {
    "spec": 1,
    "inputs": {"type": "object"},
    "nodes": [{"id": "n", "type": "transform", "name": "N", "config": {"expression": "1 + 1"}}],
    "edges": [],
    "outputs": {},
}

TOOL = {"name": "look", "description": "Looks.", "effect": "read", "config": {"url": "https://tool.invalid/"}}
CONNECTION = {"name": "Shop", "host": "tool.invalid", "kind": "bearer", "secret": "canary-of-a-connection"}
TRIGGER = {"name": "Hook", "kind": "webhook", "webhook": {}}
ENDPOINT = {"url": "https://endpoint.invalid/"}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Belongings:
    """One of each thing of a tenant, by the name of the path parameter that takes its id."""

    ids: dict[str, str]

    def path_of(self, operation: Operation) -> str:
        return operation.path.format_map(self.ids)

    def body_of(self, operation: Operation) -> dict[str, Any]:
        """What to send besides the path: keyword arguments for httpx. Ids in it are of this tenant."""
        return _bodies(self.ids).get(operation.name, {})


async def belongings(product: Product, client: Client) -> Belongings:
    base = await client.post("/knowledge-bases", {"name": "Base"})
    await client.http.post(
        f"/api/v1/knowledge-bases/{base['id']}/documents", files=[("files", ("a.txt", b"Some words.", "text/plain"))]
    )
    document = (await client.get(f"/knowledge-bases/{base['id']}/documents"))["items"][0]
    agent = await client.agent("Writer", knowledge_base_ids=[base["id"]])
    workflow = await client.workflow(GRAPH)
    me = await client.get("/users/me")
    tenant = me["tenant"]["id"]
    await _read(product, UUID(tenant), UUID(document["id"]))
    key = await client.post("/api-keys", {"name": "key", "scopes": ["models:read"]})
    execution = await client.execute(workflow, {})
    budget = await client.post("/budgets", {"name": "B", "scope": "tenant", "period": "day", "calls": 10**6})
    connection = await client.post("/connections", CONNECTION)
    tool = await client.post("/tools", TOOL)
    trigger = await client.post(f"/workflows/{workflow}/triggers", TRIGGER)
    endpoint = await client.post("/webhook-endpoints", ENDPOINT)
    delivery = await client.post(f"/webhook-endpoints/{endpoint['id']}/test")
    questions = await client.post("/evaluation-sets", {"name": "Questions", "knowledge_base_ids": [base["id"]]})
    asked = {"text": "What?", "expected": [{"document_id": document["id"]}]}
    question = await client.post(f"/evaluation-sets/{questions['id']}/questions", asked)
    run = await client.post(f"/evaluation-sets/{questions['id']}/runs", {"modes": ["keyword"]})
    return Belongings(
        {
            "tenant_id": tenant,
            "user_id": me["id"],
            "key_id": key["id"],
            "model_id": client.model_id,
            "agent_id": agent,
            "knowledge_base_id": base["id"],
            "document_id": document["id"],
            "set_id": questions["id"],
            "question_id": question["id"],
            "run_id": run["id"],
            "workflow_id": workflow,
            "execution_id": execution,
            "item_id": await _inbox_item(product, UUID(tenant), UUID(execution)),
            "budget_id": budget["id"],
            "connection_id": connection["id"],
            "tool_id": tool["id"],
            "trigger_id": trigger["id"],
            "token": trigger["url"].rsplit("/", 1)[1],
            "endpoint_id": endpoint["id"],
            "delivery_id": delivery["id"],
            "number": "1",
        }
    )


async def _read(product: Product, tenant_id: UUID, document_id: UUID) -> None:
    """The document as a worker would leave it: none runs that would read it."""
    database = Database(product.environment["APP_DATABASE_URL"])
    async with database.write(Scope(tenant_id)) as session:
        values = {"version": 1, "text": "Some words.", "structure": {"pages": [], "headings": []}}
        session.add(DocumentText(tenant_id=tenant_id, document_id=document_id, revision=1, **values))
        await session.execute(update(Document).where(Document.id == document_id).values(revision=1))
    await database.close()


async def _inbox_item(product: Product, tenant_id: UUID, execution_id: UUID) -> str:
    """Put there directly: no worker runs that would come to ask something."""
    step = StepRow(
        id=new_id(),
        tenant_id=tenant_id,
        execution_id=execution_id,
        node="n",
        type="approval",
        path="",
        attempt=1,
        generation=1,
        status="waiting",
    )
    wait = WaitRow(
        id=new_id(),
        tenant_id=tenant_id,
        execution_id=execution_id,
        step_id=step.id,
        key="1//wait/0",
        kind="approval",
        title="Shall we?",
        request={},
        request_hash="0",
        created_at=utcnow(),
    )
    database = Database(product.environment["APP_DATABASE_URL"])
    async with database.write(Scope(tenant_id)) as session:
        session.add_all([step, wait])
    await database.close()
    return str(wait.id)


def operations(document: dict[str, Any]) -> list[Operation]:
    return [Operation(method.upper(), path) for path, item in document["paths"].items() for method in item]


def with_bodies(document: dict[str, Any]) -> set[str]:
    """The operations that must be sent a body."""
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("requestBody", {}).get("required")
    }


def _bodies(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    evaluation_set = {"name": "Questions", "knowledge_base_ids": [ids["knowledge_base_id"]]}
    question = {"text": "What?", "expected": [{"document_id": ids["document_id"]}]}
    model = {
        "name": "Other model",
        "provider": "openai_compatible",
        "model": "fake",
        "settings": {"base_url": "http://127.0.0.1:9/v1"},
    }
    agent = {"name": "Other", "role": "r", "goal": "g", "model_id": ids["model_id"]}
    workflow = {"name": "Other", "graph": GRAPH}
    base = {"name": "Other base"}
    budget = {"name": "Other", "scope": "tenant", "period": "month", "tokens": 10**9}
    return {
        "POST /api/v1/auth/register": {"json": {"email": "x@example.com", "password": "x" * 12, "display_name": "X"}},
        "POST /api/v1/auth/login": {"json": {"email": "x@example.com", "password": "x" * 12}},
        "PUT /api/v1/users/me": {"json": {"display_name": "Other"}},
        "POST /api/v1/tenants": {"json": {"name": "Other"}},
        "POST /api/v1/tenants/{tenant_id}/members": {
            "json": {"email": "y@example.com", "role": "viewer", "display_name": "Y", "password": "y" * 12}
        },
        "PUT /api/v1/tenants/{tenant_id}/members/{user_id}": {"json": {"role": "viewer"}},
        "POST /api/v1/api-keys": {"json": {"name": "k", "scopes": ["models:read"]}},
        "POST /api/v1/models": {"json": model},
        "PUT /api/v1/models/{model_id}": {"json": model},
        "POST /api/v1/budgets": {"json": budget},
        "PUT /api/v1/budgets/{budget_id}": {"json": budget},
        "POST /api/v1/agents": {"json": agent},
        "PUT /api/v1/agents/{agent_id}": {"json": agent},
        "POST /api/v1/agents/{agent_id}/test": {"json": {"input": "Hello"}},
        "POST /api/v1/tools": {"json": {**TOOL, "name": "other"}},
        "PUT /api/v1/tools/{tool_id}": {"json": TOOL},
        "POST /api/v1/tools/{tool_id}/try": {"json": {"arguments": {}}},
        "POST /api/v1/connections": {"json": {**CONNECTION, "name": "Other"}},
        "PUT /api/v1/connections/{connection_id}": {"json": CONNECTION},
        "POST /api/v1/knowledge-bases": {"json": base},
        "PUT /api/v1/knowledge-bases/{knowledge_base_id}": {"json": base},
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/check": {"json": {"repair": True}},
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/documents": {
            "files": [("files", ("b.txt", b"Other words.", "text/plain"))]
        },
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/documents/bulk": {
            "json": {"action": "tag", "document_ids": [ids["document_id"]], "tags": ["x"]}
        },
        "PATCH /api/v1/documents/{document_id}": {"json": {"tags": ["x"]}},
        "PUT /api/v1/documents/{document_id}/content": {"files": [("file", ("b.txt", b"New words.", "text/plain"))]},
        "POST /api/v1/documents/{document_id}/reprocess": {"json": {"chunk_size": 100}},
        "PUT /api/v1/knowledge-limits": {"json": {"max_file_bytes": None, "max_documents": 1000, "max_bytes": None}},
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/text-content": {"json": {"name": "t", "text": "words"}},
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/url-content": {"json": {"urls": ["https://page.invalid/"]}},
        "POST /api/v1/knowledge-bases/{knowledge_base_id}/chunk-preview": {"json": {"text": "words"}},
        "POST /api/v1/evaluation-sets": {"json": {**evaluation_set, "name": "Other questions"}},
        "PUT /api/v1/evaluation-sets/{set_id}": {"json": evaluation_set},
        "POST /api/v1/evaluation-sets/{set_id}/questions": {"json": {**question, "text": "Which?"}},
        "PUT /api/v1/evaluation-sets/{set_id}/questions/{question_id}": {"json": question},
        "POST /api/v1/evaluation-sets/{set_id}/questions/import": {
            "json": {"format": "csv", "content": f"question,document\nWhere?,{ids['document_id']}"}
        },
        "POST /api/v1/evaluation-sets/{set_id}/questions/approve": {"json": {"ids": [ids["question_id"]]}},
        "POST /api/v1/evaluation-sets/{set_id}/questions/reject": {"json": {"ids": [ids["question_id"]]}},
        "POST /api/v1/evaluation-sets/{set_id}/generate": {"json": {"count": 1}},
        "POST /api/v1/evaluation-sets/{set_id}/runs": {"json": {"modes": ["keyword"]}},
        "POST /api/v1/knowledge-bases/query": {
            "json": {"knowledge_base_ids": [ids["knowledge_base_id"]], "query": "words"}
        },
        "POST /api/v1/workflows": {"json": workflow},
        "PUT /api/v1/workflows/{workflow_id}": {"json": {**workflow, "version": 1}},
        "POST /api/v1/workflows/import": {
            "json": {
                "files": {
                    "agents.yaml": "w:\n  role: r\n  goal: g\n  backstory: b\n",
                    "tasks.yaml": "t:\n  description: d\n  expected_output: e\n  agent: w\n",
                },
                "model_id": ids["model_id"],
            }
        },
        "PUT /api/v1/execution-policy": {
            "json": {
                "max_running": 10,
                "delta_days": 1,
                "event_days": 30,
                "call_days": 30,
                "output_days": None,
                "execution_days": None,
            }
        },
        "POST /api/v1/executions": {"json": {"workflow_id": ids["workflow_id"], "inputs": {}}},
        "PATCH /api/v1/executions/{execution_id}": {"json": {"priority": 1}},
        "POST /api/v1/executions/{execution_id}/fork": {"json": {"from": {"node": "n"}}},
        "POST /api/v1/workflows/{workflow_id}/triggers": {"json": TRIGGER},
        "PUT /api/v1/triggers/{trigger_id}": {"json": TRIGGER},
        "POST /api/v1/triggers/preview": {"json": {"cron": "0 3 * * *"}},
        "POST /api/v1/webhook-endpoints": {"json": {**ENDPOINT, "workflow_ids": [ids["workflow_id"]]}},
        "PUT /api/v1/webhook-endpoints/{endpoint_id}": {"json": ENDPOINT},
        "POST /api/v1/inbox/{item_id}/respond": {"json": {"action": "accept"}},
        "POST /api/v1/inbox/respond": {"json": {"ids": [ids["item_id"]], "action": "accept"}},
        "POST /api/v1/inbox/mark-read": {"json": {"ids": [ids["item_id"]]}},
    }
