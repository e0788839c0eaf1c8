"""Projects in and workflows out, through HTTP."""

import contextlib
import io
import json
import sys
import zipfile
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.workflows.errors import ProjectInvalid, UploadTooLarge
from services.workflows.transfer.upload import unzip
from shared.database.tables.agents import Agent
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.tools import Connection, Tool
from shared.kit.ids import new_id
from tests.support.platform import Platform
from tests.workflows.conftest import TRIVIAL, Tenant, agent_graph
from tests.workflows.projects import REAL_NAMES, ROOT, example, needs_real_projects, real_project

IMPORT = "/api/v1/workflows/import"
AGENT = "role: r\n  goal: g\n  backstory: b"
TASK = "description: d\n  expected_output: e"
TWO_AGENTS = {"agents.yaml": f"a:\n  {AGENT}\nb:\n  {AGENT}", "tasks.yaml": f"t:\n  {TASK}\nu:\n  {TASK}"}


async def agents_of(tenant: Tenant) -> list[Agent]:
    async with tenant.platform.resources.database.read(tenant.scope) as session:
        return list(await session.scalars(select(Agent).order_by(Agent.id)))


async def knowledge_base(tenant: Tenant, name: str) -> UUID:
    base = KnowledgeBase(
        id=new_id(),
        tenant_id=tenant.account.tenant_id,
        name=name,
        embedding_model="minilm",
        chunk_size=200,
        chunk_overlap=20,
    )
    async with tenant.platform.resources.database.write(tenant.scope) as session:
        session.add(base)
    return base.id


def zipped(files: dict[str, str | bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


# --- crewAI in --------------------------------------------------------------------------------------------


async def test_a_project_becomes_agents_and_a_workflow(here: Tenant) -> None:
    made = await here.post("/workflows/import", {"files": example("research_team")})
    workflow = made["workflow"]
    assert (workflow["name"], workflow["version"], workflow["valid"], workflow["problems"]) == (
        "research_team",
        1,
        True,
        [],
    )
    pool = await agents_of(here)
    assert [(a.name, str(a.id)) for a in pool] == [(a["name"], a["id"]) for a in made["agents"]]
    assert [a.name for a in pool] == ["researcher", "writer", "reviewer"]
    assert pool[0].role == "{{ inputs.topic }} researcher"
    assert [a.max_iterations for a in pool] == [15, 10, 15]
    assert {a.model_id for a in pool} == {here.model_id}
    assert pool[0].created_by == here.account.user_id
    assert [item["where"] for item in made["report"]["ignored"]] == ["tasks.review_task.output_file"]
    inputs = {"topic": "tides", "audience": "sailors", "current-year": "2026"}
    assert (await here.post(f"/workflows/{workflow['id']}/execute", {"inputs": inputs}))["status"] == "queued"


async def test_a_jsonc_project_with_a_model_that_is_here(here: Tenant) -> None:
    model = await here.model("Quick", model="gpt-4.1-mini")
    made = await here.post("/workflows/import", {"files": example("support_desk"), "name": "Desk"})
    assert made["workflow"]["name"] == "Desk"
    assert [a.model_id for a in await agents_of(here)] == [model, here.model_id]
    assert [item["code"] for item in made["report"]["missing"]] == ["tool_missing"]


async def test_the_request_chooses_the_model(here: Tenant, there: Tenant) -> None:
    model = await here.model("Other")
    body = {"files": example("research_team"), "model_id": str(model)}
    await here.post("/workflows/import", body)
    assert {a.model_id for a in await agents_of(here)} == {model}
    for foreign in (str(there.model_id), str(new_id())):
        answer = await here.http.post(IMPORT, json={**body, "model_id": foreign})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "model_unknown")


async def test_unbound_tasks_make_a_draft_that_cannot_run(here: Tenant) -> None:
    made = await here.post("/workflows/import", {"files": TWO_AGENTS})
    workflow = made["workflow"]
    assert not workflow["valid"]
    assert [(p["node"], p["field"]) for p in workflow["problems"]] == [
        ("crew", "tasks.0.agent_id"),
        ("crew", "tasks.1.agent_id"),
    ]
    assert [(i["code"], i["where"]) for i in made["report"]["missing"]] == [
        ("agent_unbound", "tasks.t.agent"),
        ("agent_unbound", "tasks.u.agent"),
    ]
    refused = await here.http.post(f"/api/v1/workflows/{workflow['id']}/execute", json={})
    assert refused.json()["error"]["details"][0]["field"] == "nodes.crew.tasks.0.agent_id"
    bound = await here.post("/workflows/import", {"files": TWO_AGENTS, "bindings": {"t": "a", "u": "b"}})
    assert bound["workflow"]["valid"]
    assert await here.post(f"/workflows/{bound['workflow']['id']}/execute")


@needs_real_projects
@pytest.mark.parametrize("name", REAL_NAMES)
async def test_a_real_project_imports_and_validates(here: Tenant, name: str) -> None:
    project = real_project(name)
    made = await here.post("/workflows/import", {"files": project.files, "bindings": project.bindings})
    assert made["workflow"]["problems"] == []
    assert made["report"]["missing"] == []
    inputs = dict.fromkeys(made["workflow"]["graph"]["inputs"]["properties"], "x")
    assert await here.post(f"/workflows/{made['workflow']['id']}/execute", {"inputs": inputs})
    for format in ("crewai_yaml", "crewai_jsonc", "json"):
        exported = await here.get(f"/workflows/{made['workflow']['id']}/export", format=format)
        again = await here.post("/workflows/import", {"files": exported["files"], "name": made["workflow"]["name"]})
        assert shape(again) == shape(made)


def shape(made: dict[str, Any]) -> Any:
    """The workflow without its ids: agents by their place in the crew."""
    graph = json.dumps(made["workflow"]["graph"], sort_keys=True)
    for index, agent in enumerate(made["agents"]):
        graph = graph.replace(agent["id"], f"agent-{index}")
    return graph


FORBIDDEN = {"open", "import", "compile", "exec", "pickle.find_class", "subprocess.Popen", "socket.getaddrinfo"}
FORBIDDEN |= {"os.system", "os.exec", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename"}


async def test_importing_runs_nothing(here: Tenant) -> None:
    """No module is loaded, no file opened, no process started, no name looked up, no work queued."""
    seen: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in FORBIDDEN:
            seen.append(f"{event} {arguments[:1]}")

    await here.post("/workflows/import", {"files": TWO_AGENTS})  # whatever is loaded lazily is loaded now
    hostile = {
        "crew.jsonc": """{"agents": ["a"], "tasks": [{"description": "d", "expected_output": "e",
            "callback": {"python": "evil.run"}, "output_file": "/tmp/pwned"}],
            "before_kickoff_callbacks": [{"python": "evil.before"}]}""",
        "agents/a.jsonc": """{"role": "r", "goal": "g", "backstory": "b", "tools": ["custom:evil", "evil:Tool"],
            "from_repository": "x/y", "mcps": ["https://evil.test/mcp"]}""",
        "tools/evil.py": "import os; os.system('touch /tmp/pwned')",
    }
    sys.addaudithook(watch)
    try:
        made = await here.post("/workflows/import", {"files": hostile})
    finally:
        watching = False
    assert seen == []
    assert made["workflow"]["valid"]
    async with here.platform.resources.database.read(here.scope) as session:
        assert list(await session.scalars(select(ExecutionRow.id))) == []
    assert "evil" not in json.dumps(made["workflow"]["graph"])


@pytest.mark.parametrize(
    ("body", "code", "field", "message"),
    [
        ({"files": {"a.txt": "x"}}, "project_invalid", None, "no crewAI project was found"),
        (
            {"files": {"x/agents.yaml": "\n\na: [\n", "x/tasks.yaml": "{}"}},
            "project_invalid",
            "files.x/agents.yaml",
            "x/agents.yaml:4: is not valid YAML",
        ),
        (
            {"files": {"agents.yaml": f"a:\n  {AGENT}", "tasks.yaml": "t:\n  description: d\n"}},
            "project_invalid",
            "files.tasks.yaml",
            "tasks.yaml:2: tasks.t.expected_output is missing",
        ),
        (
            {"files": TWO_AGENTS, "bindings": {"t": "nobody"}},
            "project_invalid",
            "bindings",
            "bindings.t: there is no agent 'nobody'",
        ),
        ({"files": TWO_AGENTS, "format": "json"}, "project_invalid", None, None),
        ({"files": TWO_AGENTS, "format": "crewai_jsonc"}, "project_invalid", None, "it needs crew.jsonc"),
        ({"files": {}}, "invalid", "files", None),
        ({"files": []}, "invalid", "files", None),
        ({"files": {"a": 5}}, "invalid", "files.a", None),
        ({"files": TWO_AGENTS, "format": "docx"}, "invalid", "format", None),
        ({"files": TWO_AGENTS, "model_id": "x"}, "invalid", "model_id", None),
        ({"files": TWO_AGENTS, "tenant_id": str(new_id())}, "invalid", "tenant_id", None),
        ({"files": TWO_AGENTS, "name": "\x00"}, "invalid", "name", None),
        ({"files": {"agents.yaml": "a: \x00", "tasks.yaml": "{}"}}, "project_invalid", "files.agents.yaml", "NUL"),
        ({"files": {"\ud800/agents.yaml": "", "\ud800/tasks.yaml": ""}}, "invalid", None, None),
        ({"files": {"\ud800.json": '{"format": "quarterdeck.workflow/1"}'}}, "invalid", None, None),
        ({"files": {"a.json": '{"format": "quarterdeck.workflow/1", "\ud800": 1}'}}, "project_invalid", None, None),
        ({"files": {"x" * 301: ""}}, "invalid", None, None),
        ([], "invalid", None, None),
    ],
)
async def test_what_cannot_be_read_is_refused_with_its_place(
    here: Tenant, body: Any, code: str, field: str | None, message: str | None
) -> None:
    answer = await here.http.post(
        IMPORT, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, code)
    if field is not None or message is not None:
        assert any(detail["field"] == field and (message or "") in detail["message"] for detail in error["details"]), (
            error
        )
    assert await agents_of(here) == []
    assert (await here.get("/workflows"))["items"] == []


# --- uploads ----------------------------------------------------------------------------------------------


async def test_a_form_of_files(here: Tenant) -> None:
    files = [("files", (name, text)) for name, text in TWO_AGENTS.items()]
    fields = {"bindings": json.dumps({"t": "a", "u": "b"}), "name": "From a form", "format": "crewai_yaml"}
    answer = await here.http.post(IMPORT, data=fields, files=files)
    assert answer.status_code == 201, answer.text
    workflow = answer.json()["workflow"]
    assert (workflow["name"], workflow["valid"]) == ("From a form", True)


async def test_a_zip_of_a_whole_folder(here: Tenant) -> None:
    content: dict[str, str | bytes] = {f"team-main/{name}": text for name, text in example("research_team").items()}
    content |= {"team-main/README.md": b"\xff", "team-main/logo.png": b"\x89PNG", "team-main/src/crew.py": "x"}
    answer = await here.http.post(IMPORT, files={"files": ("team.zip", zipped(content))})
    assert answer.status_code == 201, answer.text
    assert answer.json()["workflow"]["name"] == "research_team"


def _lying_zip() -> bytes:
    """Says that its one entry is small; it is not."""
    data = bytearray(zipped({"agents.yaml": "#" * 9_000_000}))
    real = (9_000_000).to_bytes(4, "little")
    while (at := data.find(real)) >= 0:
        data[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def _encrypted_zip() -> bytes:
    data = bytearray(zipped(dict(TWO_AGENTS)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + offset] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (zipped({"a/agents.yaml": "#" * 9_000_000}), 413),
        (_lying_zip(), 422),
        (_encrypted_zip(), 422),
        (zipped(dict(TWO_AGENTS))[:-30] + b"\0" * 30, 422),
        (zipped({f"{i}.txt": "" for i in range(5_001)}), 413),
        (zipped({"agents.yaml": b"\xff\xfe", "tasks.yaml": b""}), 422),
        (zipped(dict(TWO_AGENTS), zipfile.ZIP_LZMA), 422),
        (zipped({}), 422),
        (b"\x00" * 100, 422),
        (b"x" * 5_000_000, 413),
    ],
)
async def test_hostile_uploads_are_refused(here: Tenant, data: bytes, status: int) -> None:
    answer = await here.http.post(IMPORT, files={"files": ("agents.yaml", data)})
    assert answer.status_code == status, answer.text
    assert (await here.get("/workflows"))["items"] == []


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=3),
    st.floats(0.1, 1),
)
def test_a_damaged_archive_is_refused_and_nothing_worse(
    packing: int, damage: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(zipped({"agents.yaml": "a: 1\n" * 50, "crew.jsonc": "{}"}, packing))
    for place, new in damage:
        at = int(place * (len(data) - len(new)))
        data[at : at + len(new)] = new
    with contextlib.suppress(ProjectInvalid, UploadTooLarge):
        unzip(bytes(data[: max(1, int(len(data) * kept))]))


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"agents", "text/plain", 415),
        (b"{}", "", 415),
        (b"{", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"nonsense", "multipart/form-data; boundary=x", 422),
        (b"nonsense", "multipart/form-data", 422),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--x--',
            "multipart/form-data; boundary=x",
            422,
        ),
        (b'{"files": "' + b"x" * 5_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_bodies_that_are_no_import(here: Tenant, content: bytes, content_type: str, status: int) -> None:
    answer = await here.http.post(IMPORT, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}


# --- our own format ---------------------------------------------------------------------------------------


async def test_a_workflow_moves_to_another_tenant(here: Tenant, there: Tenant) -> None:
    base, missing = await knowledge_base(here, "Handbook"), await knowledge_base(here, "Secrets")
    model = await here.model("Quick", model="gpt-4.1-mini")
    agent = await here.agent(
        "writer",
        description="d",
        system_prompt="Be brief",
        model_id=model,
        tools=("calculator",),
        knowledge_base_ids=(base, missing),
        temperature=0.2,
        max_tokens=50,
        max_iterations=3,
        allow_delegation=True,
        suggested_prompts=("Hello",),
    )
    graph = agent_graph(agent)
    search = {"knowledge_base_ids": [str(base)], "query": "q"}
    graph["nodes"].append({"id": "look", "type": "knowledge_search", "config": search})
    graph["edges"] = [{"from": "work", "to": "look"}]
    made = await here.post("/workflows", {"name": "W", "description": "about", "graph": graph})
    assert made["valid"], made["problems"]
    exported = await here.get(f"/workflows/{made['id']}/export")
    assert str(here.account.tenant_id) not in json.dumps(exported)
    assert str(here.account.user_id) not in json.dumps(exported)

    their_base = await knowledge_base(there, "Handbook")
    their_model = await there.model("Another name", model="gpt-4.1-mini")
    moved = await there.post("/workflows/import", {"files": exported["files"]})

    workflow = moved["workflow"]
    assert (workflow["name"], workflow["description"], workflow["problems"]) == ("W", "about", [])
    their_agent = (await agents_of(there))[0]
    assert their_agent.id != agent
    assert their_agent.model_id == their_model
    fields = ("name", "description", "role", "goal", "backstory", "system_prompt", "tools", "temperature", "max_tokens")
    original = (await agents_of(here))[0]
    for field in (*fields, "max_iterations", "allow_delegation", "suggested_prompts"):
        assert getattr(their_agent, field) == getattr(original, field)
    configs = {node["id"]: node["config"] for node in workflow["graph"]["nodes"]}
    assert configs["work"]["agent_id"] == str(their_agent.id)
    assert configs["look"]["knowledge_base_ids"] == [str(their_base)]
    assert [(i["code"], i["where"]) for i in moved["report"]["missing"]] == [
        ("knowledge_base_missing", "knowledge_bases.Secrets")
    ]
    execution = await there.post(f"/workflows/{workflow['id']}/execute")
    async with there.platform.resources.database.read(there.scope) as session:
        row = await session.get_one(ExecutionRow, UUID(execution["id"]))
    assert row.spec["agents"][str(their_agent.id)]["knowledge_base_ids"] == [str(their_base)]


async def test_own_tools_and_connections_are_found_by_name_at_the_other_tenant(here: Tenant, there: Tenant) -> None:
    """What is theirs alone is reported; nothing of a credential is carried along."""
    for name in ("order", "look"):
        await own_tool(here, name)
    await own_tool(there, "order")
    shop, mail = await connection(here, "Shop"), await connection(here, "Mail")
    their_shop = await connection(there, "Shop")
    await connection(there, "Mail", "other.example")
    agent = await here.agent(tools=("order", "look"), approve_tools=("order", "look"))
    graph = agent_graph(agent)
    for id_, each in (("shop", shop), ("mail", mail)):
        config = {"url": "https://shop.example/", "connection_id": str(each)}
        graph["nodes"].append({"id": id_, "type": "http", "config": config})
    made = await here.workflow(graph)
    exported = await here.get(f"/workflows/{made['id']}/export")
    assert "canary" not in json.dumps(exported)

    moved = await there.post("/workflows/import", {"files": exported["files"]})

    (their_agent,) = await agents_of(there)
    assert (their_agent.tools, their_agent.approve_tools) == (["order"], ["order"])
    configs = {node["id"]: node["config"] for node in moved["workflow"]["graph"]["nodes"]}
    assert configs["shop"]["connection_id"] == str(their_shop)
    assert {(i["code"], i["where"]) for i in moved["report"]["missing"]} == {
        ("tool_missing", "agents.writer.tools"),
        ("connection_missing", "connections.Mail"),
    }
    problems = [(p["node"], p["field"]) for p in moved["workflow"]["problems"] if p["severity"] == "error"]
    assert problems == [("mail", "connection_id")]


async def own_tool(tenant: Tenant, name: str) -> None:
    async with tenant.platform.resources.database.write(tenant.scope) as session:
        session.add(
            Tool(
                tenant_id=tenant.account.tenant_id,
                name=name,
                description="d",
                parameters={"type": "object"},
                effect="read",
                needs_approval=False,
                kind="http",
                config={"url": "https://shop.example/"},
            )
        )


async def connection(tenant: Tenant, name: str, host: str = "shop.example") -> UUID:
    row = Connection(
        id=new_id(), tenant_id=tenant.account.tenant_id, name=name, host=host, kind="bearer", secret=b"canary"
    )
    async with tenant.platform.resources.database.write(tenant.scope) as session:
        session.add(row)
    return row.id


async def test_a_model_that_is_not_there_is_replaced_and_told(here: Tenant, there: Tenant) -> None:
    model = await here.model("Special")
    made = await here.workflow(agent_graph(await here.agent(model_id=model, tools=("calculator",))))
    exported = await here.get(f"/workflows/{made['id']}/export")
    moved = await there.post("/workflows/import", {"files": exported["files"], "format": "json"})
    assert [(i["code"], i["where"]) for i in moved["report"]["missing"]] == [("model_missing", "models.Special")]
    assert (await agents_of(there))[0].model_id == there.model_id
    assert moved["workflow"]["valid"]


async def test_the_demo_imports(here: Tenant) -> None:
    text = (ROOT / "examples" / "demo-workflow.json").read_text()
    for base in json.loads(text)["knowledge_bases"].values():
        await knowledge_base(here, base["name"])
    made = await here.post("/workflows/import", {"files": {"demo-workflow.json": text}})
    assert (made["workflow"]["problems"], made["report"]["missing"]) == ([], [])


async def test_a_file_that_was_tampered_with_is_refused(here: Tenant) -> None:
    made = await here.workflow(agent_graph(await here.agent()))
    exported = await here.get(f"/workflows/{made['id']}/export")
    content = json.loads(exported["files"]["workflow.json"])
    agent_id = next(iter(content["agents"]))
    for change in (
        {"tenant_id": str(new_id())},
        {"name": ""},
        {"graph": {"nodes": []}},
        {"graph": 5},
        {"agents": {"not an id": content["agents"][agent_id]}},
        {"agents": {agent_id: {**content["agents"][agent_id], "is_public": True}}},
        {"agents": {agent_id: {**content["agents"][agent_id], "role": "x\x00"}}},
        {"models": []},
    ):
        text = json.dumps({**content, **change})
        answer = await here.http.post(IMPORT, json={"files": {"workflow.json": text}})
        assert answer.status_code == 422, change
    assert len(await agents_of(here)) == 1


async def test_an_import_adds_agents_so_it_needs_that_permission(platform: Platform, here: Tenant) -> None:
    viewer = await platform.join(here.account, "viewer")
    answer = await here.http.post(IMPORT, json={"files": TWO_AGENTS}, headers=viewer.headers)
    assert answer.status_code == 403


# --- out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("json", ["workflow.json"]),
        ("crewai_yaml", ["config/agents.yaml", "config/tasks.yaml"]),
        ("crewai_jsonc", ["crew.jsonc", "agents/sorter.jsonc", "agents/answerer.jsonc"]),
    ],
)
async def test_an_archive_holds_the_files_and_can_be_imported(here: Tenant, format: str, names: list[str]) -> None:
    made = await here.post("/workflows/import", {"files": example("support_desk"), "name": "Désk / 1"})
    path = f"/api/v1/workflows/{made['workflow']['id']}/export"
    answer = await here.http.get(path, params={"format": format, "archive": True})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="d-sk-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == names
    again = await here.http.post(IMPORT, files={"files": ("x.zip", answer.content)})
    assert again.status_code == 201, again.text
    assert len(again.json()["agents"]) == 2


async def test_an_earlier_version_can_be_exported(here: Tenant) -> None:
    made = await here.workflow()
    nodes = [{"id": "once", "type": "transform", "config": {"expression": "1"}}]
    changed = {"name": "W", "graph": {**TRIVIAL, "nodes": nodes, "outputs": {}}, "version": 1}
    await here.http.put(f"/api/v1/workflows/{made['id']}", json=changed)
    for version, node in ((1, "twice"), (2, "once")):
        exported = await here.get(f"/workflows/{made['id']}/export", version=version)
        assert json.loads(exported["files"]["workflow.json"])["graph"]["nodes"][0]["id"] == node


async def test_what_crewai_cannot_say_is_refused_or_reported(here: Tenant) -> None:
    plain = await here.workflow()
    answer = await here.http.get(f"/api/v1/workflows/{plain['id']}/export", params={"format": "crewai_yaml"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_exportable")
    base = await knowledge_base(here, "Handbook")
    agent = await here.agent(system_prompt="Be brief", tools=("calculator",), knowledge_base_ids=(base,))
    graph = agent_graph(agent)
    graph["nodes"][0]["retry"] = {"max": 2}
    made = await here.workflow(graph)
    report = (await here.get(f"/workflows/{made['id']}/export", format="crewai_jsonc"))["report"]
    assert {item["where"] for item in report["ignored"]} == {
        "agents.writer.system_prompt",
        "agents.writer.knowledge_base_ids",
        "nodes.work.retry",
    }
    assert {item["where"] for item in report["missing"]} == {"agents.writer.tools", "agents.writer.llm"}


async def test_a_draft_is_exported_as_it_is(here: Tenant) -> None:
    made = await here.post("/workflows/import", {"files": TWO_AGENTS})
    for format in ("crewai_yaml", "crewai_jsonc", "json"):
        exported = await here.get(f"/workflows/{made['workflow']['id']}/export", format=format)
        again = await here.post("/workflows/import", {"files": exported["files"], "bindings": {}})
        assert [a["name"] for a in again["agents"]] == ["a", "b"]
        assert len(again["workflow"]["problems"]) == 2
