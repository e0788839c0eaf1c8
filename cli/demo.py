"""The demo: a fictional company's handbook, a crew of three that answers from it, and one question.

Made through the public API, as anybody could make it; what is there already is used as it is.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import httpx
from rich.console import Console

from cli.api import Api
from cli.console import safe
from cli.credentials import Account, SignIn, request_token
from cli.errors import ApiFailure, CommandError
from cli.executions import Outcome, start, view_on, watch
from cli.stack.files import read_json, write_json
from cli.stack.layout import PROJECT_ROOT, Home

WORKFLOW = PROJECT_ROOT / "examples" / "demo-workflow.json"
HANDBOOK = PROJECT_ROOT / "examples" / "handbook"
QUESTION = "A TG-40 shows code E7 after a storm. What must the customer do, and is the repair covered by the warranty?"
_KNOWLEDGE_BASE = "Skerry handbook"  # as the workflow's file names it
_EMAIL = "demo@quarterdeck.example"
_LONGEST_INGESTION = 300.0
_IN_WORK = ("pending", "processing")


def ensure_account(home: Home, url: str) -> Account:
    """The demo account of this data directory, registered if this installation does not know it yet."""
    account = _account(home) or _new_account(home)
    with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as http:
        try:
            request_token(http, "/auth/login", asdict(account))
        except ApiFailure as failure:
            if failure.status != 401:
                raise
            names = {"display_name": "Demo", "tenant_name": "Demo"}
            request_token(http, "/auth/register", {**asdict(account), **names})
    return account


def has_run(home: Home) -> bool:
    stored = read_json(home.demo_file)
    return bool(stored and stored.get("has_run"))


def run(home: Home, url: str, console: Console) -> Outcome:
    """Make what is missing, ask the demo's question, and show how the crew answers it."""
    account = ensure_account(home, url)
    with Api(url, SignIn(home, account)) as api:
        _ensure_knowledge_base(api, console)
        workflow = _ensure_workflow(api)
        console.print(f"\n[bold]Question:[/] {safe(QUESTION)}\n", highlight=False)
        ended = watch(api, start(api, workflow, {"question": QUESTION}), view_on(api, console))
    write_json(home.demo_file, {**asdict(account), "has_run": True})
    return ended


def _account(home: Home) -> Account | None:
    stored = read_json(home.demo_file)
    return Account(stored["email"], stored["password"]) if stored else None


def _new_account(home: Home) -> Account:
    """Written down before it is registered: a crash in between must not leave an account nobody can use."""
    account = Account(_EMAIL, secrets.token_urlsafe(12))
    write_json(home.demo_file, {**asdict(account), "has_run": False})
    return account


def _ensure_knowledge_base(api: Api, console: Console) -> None:
    found = _named(api, "/knowledge-bases", _KNOWLEDGE_BASE)
    if found is None:
        body = {
            "name": _KNOWLEDGE_BASE,
            "description": "What support at Skerry Instruments works by.",
            # Short passages: the local model reads every word of them on the processor.
            "chunk_size": 128,
            "chunk_overlap": 16,
        }
        found = api.post("/knowledge-bases", body)["id"]
    path = f"/knowledge-bases/{found}/documents"
    present = {document["name"] for document in api.items(path)}
    files = [file for file in sorted(HANDBOOK.iterdir()) if file.name not in present]
    if files:
        console.print(f"Uploading {len(files)} documents to the knowledge base {_KNOWLEDGE_BASE!r}", highlight=False)
        api.upload(path, files)
    _await_documents(api, path, console)


def _await_documents(api: Api, path: str, console: Console) -> None:
    deadline = time.monotonic() + _LONGEST_INGESTION
    told: set[str] = set()
    while True:
        documents = list(api.items(path))
        for document in documents:
            if document["id"] not in told and document["status"] not in _IN_WORK:
                told.add(document["id"])
                console.print(f"  {_mark(document)} {safe(document['name'])}", highlight=False)
        if len(told) == len(documents):
            return
        if time.monotonic() > deadline:
            raise CommandError(
                f"{len(documents) - len(told)} documents were not indexed within {_LONGEST_INGESTION:.0f} s.",
                "The worker's log tells more.",
            )
        time.sleep(0.2)


def _mark(document: Mapping[str, Any]) -> str:
    return "[green]✓[/]" if document["status"] == "ready" else f"[red]✗ {document['status']}[/]"


def _ensure_workflow(api: Api) -> str:
    """Imported from its file: the agents come with it, the knowledge base is found by its name."""
    text = WORKFLOW.read_text()
    found = _named(api, "/workflows", json.loads(text)["name"])
    return found or api.post("/workflows/import", {"files": {WORKFLOW.name: text}})["workflow"]["id"]


def _named(api: Api, path: str, name: str) -> str | None:
    return next((item["id"] for item in api.items(path, q=name) if item["name"] == name), None)
