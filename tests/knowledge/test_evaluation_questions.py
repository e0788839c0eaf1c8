"""Questions typed in, imported, exported, approved and rejected; with the documents that they expect."""

import json
from typing import Any

import pytest

from services.auth.module import SERVICE as AUTH
from services.knowledge_base.evaluation.questions import service
from tests.knowledge.evaluation import RUNS, SETS, ask_for, make_set, questions
from tests.knowledge.support import Library


@pytest.fixture
async def base(library: Library) -> str:
    return await library.base()


@pytest.fixture
async def set_id(library: Library, base: str) -> str:
    return await make_set(library, base)


async def import_(library: Library, set_id: str, format_: str, content: str, **more: str) -> Any:
    body = {"format": format_, "content": content, **more}
    return await library.http.post(f"{SETS}/{set_id}/questions/import", json=body)


def lines(*values: Any) -> str:
    return "\n".join(json.dumps(value) for value in values)


async def test_a_set_is_made_listed_changed_and_deleted(library: Library, base: str) -> None:
    first = await make_set(library, base, name="First")
    body = {"name": "First", "knowledge_base_ids": [base]}
    taken = await library.http.post(SETS, json=body)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "evaluation_set_name_taken")
    second = await make_set(library, base, name="Second")

    listed = (await library.http.get(SETS, params={"limit": 1})).json()
    assert [one["id"] for one in listed["items"]] == [second]
    rest = (await library.http.get(SETS, params={"limit": 1, "cursor": listed["next_cursor"]})).json()
    assert [one["id"] for one in rest["items"]] == [first]
    assert rest["next_cursor"] is None
    assert [one["id"] for one in (await library.http.get(SETS, params={"q": "fIrS"})).json()["items"]] == [first]

    changed = await library.http.put(f"{SETS}/{first}", json={**body, "name": "Third", "description": "x"})
    assert (changed.status_code, changed.json()["name"], changed.json()["description"]) == (200, "Third", "x")
    assert (await library.http.put(f"{SETS}/{first}", json={**body, "name": "Second"})).status_code == 409
    assert (await library.http.delete(f"{SETS}/{first}")).status_code == 204
    assert (await library.http.get(f"{SETS}/{first}")).status_code == 404


async def test_a_set_needs_knowledge_bases_of_the_tenant(library: Library, other: Library) -> None:
    theirs = await other.base()
    for ids, status in (([], 422), ([theirs], 404)):
        answer = await library.http.post(SETS, json={"name": "x", "knowledge_base_ids": ids})
        assert answer.status_code == status


async def test_other_tenants_find_nothing(library: Library, other: Library, base: str, set_id: str) -> None:
    document = await library.add(base, "Words.", "a.txt")
    question = (await ask_for(library, set_id, "What?", document))["id"]
    body = {"text": "x", "expected": [{"document_id": document}]}

    for method, path, json_ in (
        ("GET", f"{SETS}/{set_id}", None),
        ("DELETE", f"{SETS}/{set_id}", None),
        ("GET", f"{SETS}/{set_id}/questions", None),
        ("GET", f"{SETS}/{set_id}/questions/export", None),
        ("POST", f"{SETS}/{set_id}/questions", body),
        ("GET", f"{SETS}/{set_id}/questions/{question}", None),
        ("PUT", f"{SETS}/{set_id}/questions/{question}", body),
        ("DELETE", f"{SETS}/{set_id}/questions/{question}", None),
        ("POST", f"{SETS}/{set_id}/questions/approve", {"ids": [question]}),
        ("POST", f"{SETS}/{set_id}/runs", {"modes": ["vector"]}),
        ("POST", f"{SETS}/{set_id}/generate", {}),
        ("GET", f"{SETS}/{set_id}/runs", None),
    ):
        answer = await other.http.request(method, path, json=json_)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] in ("evaluation_set_not_found", "evaluation_question_not_found"), path
    own = await make_set(other, await other.base())
    answer = await other.http.get(f"{SETS}/{own}/questions/{question}")
    assert answer.json()["error"]["code"] == "evaluation_question_not_found"
    stolen = await other.http.post(f"{SETS}/{own}/questions", json=body)
    assert (stolen.status_code, stolen.json()["error"]["code"]) == (422, "evaluation_document_unknown")
    assert (await other.http.get(f"{RUNS}/{question}")).json()["error"]["code"] == "evaluation_run_not_found"
    assert len(await questions(library, set_id)) == 1


async def test_readers_read_and_change_nothing(library: Library, base: str, set_id: str) -> None:
    viewer = await Library.of(library.platform, await library.platform.join(library.account, "viewer"))
    assert (await viewer.http.get(f"{SETS}/{set_id}")).status_code == 200
    for method, path in (
        ("POST", SETS),
        ("DELETE", f"{SETS}/{set_id}"),
        ("POST", f"{SETS}/{set_id}/runs"),
        ("POST", f"{SETS}/{set_id}/generate"),
    ):
        body = {"name": "x", "knowledge_base_ids": [base]} if path == SETS else {}
        answer = await viewer.http.request(method, path, json=None if method == "DELETE" else body)
        assert answer.status_code == 403, path


async def test_a_question_expects_documents_by_id_or_by_name(library: Library, base: str, set_id: str) -> None:
    first, second = await library.add(base, "One.", "one.txt"), await library.add(base, "Two.", "two.txt")
    expected = [{"document_id": first, "grade": 3}, {"document": "two"}]
    made = await library.http.post(f"{SETS}/{set_id}/questions", json={"text": " Which? ", "expected": expected})

    assert made.status_code == 201, made.text
    assert (made.json()["text"], made.json()["status"], made.json()["source"]) == ("Which?", "approved", "typed")
    assert made.json()["expected"] == [
        {"document_id": first, "name": "one.txt", "grade": 3, "deleted": False},
        {"document_id": second, "name": "two.txt", "grade": 1, "deleted": False},
    ]
    again = await library.http.post(f"{SETS}/{set_id}/questions", json={"text": "WHICH?", "expected": expected})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "evaluation_question_taken")


async def test_what_is_expected_must_be_there_and_unambiguous(library: Library, base: str, set_id: str) -> None:
    await library.add(base, "One.", "same.txt")
    await library.add(base, "Two.", "same.txt")
    for expected, code in (
        ([{"document": "nowhere"}], "evaluation_document_unknown"),
        ([{"document": "same.txt"}], "evaluation_document_unknown"),
        ([{"document": "same.txt", "grade": 0}], "invalid"),
        ([{"document": "same.txt", "grade": 4}], "invalid"),
        ([], "invalid"),
    ):
        answer = await library.http.post(f"{SETS}/{set_id}/questions", json={"text": "x", "expected": expected})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert await questions(library, set_id) == []


async def test_a_deleted_document_is_shown_as_such_and_may_stay(library: Library, base: str, set_id: str) -> None:
    document = await library.add(base, "One.", "one.txt")
    question = await ask_for(library, set_id, "What?", document)
    assert (await library.http.delete(f"/api/v1/documents/{document}")).status_code == 204

    [found] = await questions(library, set_id)
    assert found["expected"] == [{"document_id": document, "name": "one.txt", "grade": 1, "deleted": True}]
    body = {"text": "What else?", "expected": [{"document_id": document}]}
    edited = await library.http.put(f"{SETS}/{set_id}/questions/{question['id']}", json=body)
    assert (edited.status_code, edited.json()["text"]) == (200, "What else?")
    assert edited.json()["expected"][0]["deleted"]


async def test_questions_are_paged_filtered_rejected_and_deleted(library: Library, base: str, set_id: str) -> None:
    document = await library.add(base, "One.", "one.txt")
    ids = [(await ask_for(library, set_id, f"Question {n}?", document))["id"] for n in range(5)]
    rejected = await library.http.post(f"{SETS}/{set_id}/questions/reject", json={"ids": ids[:2]})
    assert rejected.json() == {"changed": 2}

    assert [one["id"] for one in await questions(library, set_id, status="rejected")] == ids[:2]
    assert [one["id"] for one in await questions(library, set_id, q="question 3")] == [ids[3]]
    first = (await library.http.get(f"{SETS}/{set_id}/questions", params={"limit": 3})).json()
    rest = await questions(library, set_id, limit=3, cursor=first["next_cursor"])
    assert [one["id"] for one in (*first["items"], *rest)] == ids
    counts = (await library.http.get(f"{SETS}/{set_id}")).json()["questions"]
    assert counts == {"draft": 0, "approved": 3, "rejected": 2}
    assert (await library.http.delete(f"{SETS}/{set_id}/questions/{ids[0]}")).status_code == 204
    unknown = await library.http.post(f"{SETS}/{set_id}/questions/approve", json={"ids": [ids[0], ids[1]]})
    assert unknown.status_code == 404
    assert len(await questions(library, set_id, status="approved")) == 3


async def test_an_api_key_approves_nothing(library: Library, base: str, set_id: str) -> None:
    document = await library.add(base, "One.", "one.txt")
    question = await ask_for(library, set_id, "What?", document)
    auth = await library.platform.client(AUTH, library.account)
    scopes = ["knowledge:read", "knowledge:write"]
    key = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": scopes})).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    body = {"ids": [question["id"]]}
    answer = await library.http.post(f"{SETS}/{set_id}/questions/approve", json=body, headers=headers)
    assert answer.status_code == 403
    assert (await library.http.post(f"{SETS}/{set_id}/questions/reject", json=body, headers=headers)).status_code == 200


async def test_lines_are_imported_and_come_out_as_they_went_in(library: Library, base: str, set_id: str) -> None:
    one, two = await library.add(base, "One.", "one.txt"), await library.add(base, "Two.", "two.txt")
    content = lines(
        {"question": "First?", "expected": ["one.txt"]},
        {"question": "Second?", "expected": [{"document": "two", "grade": 2}, {"document_id": one, "grade": 0}]},
        {"question": "first?", "expected": [two]},
    )
    answer = await import_(library, set_id, "jsonl", content)
    assert (answer.status_code, answer.json()) == (201, {"imported": 2, "duplicates": 1, "skipped": 0})
    found = await questions(library, set_id)
    assert [(q["text"], q["source"], q["status"]) for q in found] == [
        ("First?", "imported", "approved"),
        ("Second?", "imported", "approved"),
    ]
    assert [(e["document_id"], e["grade"]) for e in found[1]["expected"]] == [(two, 2), (one, 0)]

    for format_ in ("jsonl", "csv"):
        exported = await library.http.get(f"{SETS}/{set_id}/questions/export", params={"format": format_})
        copy = await make_set(library, base, name=format_)
        assert (await import_(library, copy, format_, exported.text)).json()["imported"] == 2
        again = await questions(library, copy)
        assert [(q["text"], q["expected"]) for q in again] == [(q["text"], q["expected"]) for q in found]


async def test_csv_and_beir_are_imported(library: Library, base: str, set_id: str) -> None:
    one, two = await library.add(base, "One.", "d1.txt"), await library.add(base, "Two.", "d2.txt")
    content = 'Question,Document,Grade\r\n"Comma, or not?",d1.txt,2\r\n"Comma, or not?",d2.txt,\r\n'
    assert (await import_(library, set_id, "csv", content)).json()["imported"] == 1
    [found] = await questions(library, set_id)
    assert [(e["document_id"], e["grade"]) for e in found["expected"]] == [(one, 2), (two, 1)]

    queries = lines({"_id": "1", "text": "Beir one?"}, {"_id": "2", "text": "Unjudged?"}, {"_id": "3", "text": "Trec?"})
    qrels = "query-id\tcorpus-id\tscore\n1\td1\t1\n1\td2\t0\n"
    answer = await import_(library, set_id, "beir", queries, qrels=qrels)
    assert answer.json() == {"imported": 1, "duplicates": 0, "skipped": 2}
    answer = await import_(library, set_id, "beir", queries, qrels="3 0 d2 3\n")
    assert answer.json() == {"imported": 1, "duplicates": 0, "skipped": 2}
    assert (await questions(library, set_id))[-1]["expected"][0]["grade"] == 3


@pytest.mark.parametrize(
    ("format_", "content", "places"),
    [
        ("jsonl", lines({"question": "Good?", "expected": ["a.txt"]}, {"question": "", "expected": ["a.txt"]}), [2]),
        ("jsonl", 'nonsense\n[1]\n{"question": "x"}', [1, 2, 3]),
        ("jsonl", lines({"question": "x", "expected": [{"document": "a.txt", "grade": 4}]}), [1]),
        ("jsonl", lines({"question": "x", "expected": [{"document": "a.txt", "grade": 1.5}]}), [1]),
        ("jsonl", lines({"question": "x", "expected": [{"document": "a.txt", "grade": 0}]}), [1]),
        ("jsonl", "\n" + lines({"question": "x", "expected": ["nowhere.txt", "elsewhere.txt"]}), [2, 2]),
        ("csv", "question,document\nGood?,a.txt\n,a.txt\nBad?,\n", [3, 4]),
        ("csv", "frage,dokument\nx,a.txt\n", [1]),
    ],
)
async def test_an_import_with_a_wrong_line_imports_nothing(
    library: Library, base: str, set_id: str, format_: str, content: str, places: list[int]
) -> None:
    await library.add(base, "One.", "a.txt")
    answer = await import_(library, set_id, format_, content)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "evaluation_import_refused")
    assert [detail["field"] for detail in error["details"]] == [f"content.{place}" for place in places]
    assert await questions(library, set_id) == []


async def test_a_set_does_not_grow_for_ever(
    library: Library, base: str, set_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_QUESTIONS", 2)
    document = await library.add(base, "One.", "a.txt")
    await ask_for(library, set_id, "First?", document)
    content = lines(*({"question": f"Number {n}?", "expected": ["a.txt"]} for n in range(2)))
    refused = await import_(library, set_id, "jsonl", content)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "evaluation_set_full")
    assert len(await questions(library, set_id)) == 1


async def test_nothing_is_measured_without_approved_questions(library: Library, base: str, set_id: str) -> None:
    answer = await library.http.post(f"{SETS}/{set_id}/runs", json={"modes": ["vector"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "evaluation_without_questions")
