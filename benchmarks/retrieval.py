"""How well knowledge bases find, on a collection with judged questions, through the public API.

`python -m benchmarks retrieval` with the collection's folder in QUARTERDECK_CRANFIELD, or
`python -m benchmarks.retrieval FOLDER`: corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has them.
Beside it, on the same documents, a textbook BM25 (k1 0.9, b 0.4, Snowball's English stemmer).
"""

import asyncio
import json
import math
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import Figure
from benchmarks.stack import measured_stack
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

FOLDER = "QUARTERDECK_CRANFIELD"
MODES = ("vector", "keyword", "hybrid")
_FILES_AT_ONCE = 50
_ASKED_AT_ONCE = 4
_DEPTH = 10
_DEEP = 100
_PATIENCE = 3600
_K1, _B = 0.9, 0.4

Ranking = list[str]


@dataclass(frozen=True)
class Collection:
    """`judged`: the documents that answer each question, and how well."""

    documents: dict[str, str]
    questions: dict[str, str]
    judged: dict[str, dict[str, int]]

    @classmethod
    def read(cls, folder: Path) -> "Collection":
        judged: dict[str, dict[str, int]] = defaultdict(dict)
        for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
            question, document, grade = line.split("\t")
            if int(grade) > 0:
                judged[question][document] = int(grade)
        questions = {key: text for key, text in _texts(folder / "queries.jsonl").items() if key in judged}
        return cls(_texts(folder / "corpus.jsonl"), questions, judged)


def _texts(path: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["_id"]: line["text"] for line in lines if line["text"].strip()}


async def measure() -> list[Figure]:
    folder = os.environ.get(FOLDER, "")
    if not (Path(folder) / "corpus.jsonl").is_file():
        print(f"retrieval is left out: {FOLDER} names no folder with corpus.jsonl, queries.jsonl and qrels/test.tsv")
        return []
    return await _measure(Collection.read(Path(folder)))


async def _measure(collection: Collection) -> list[Figure]:
    rankings = {"textbook": textbook(collection)}
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client = await measured.product.sign_up()
            await _use_key(client)
            started = time.perf_counter()
            base = await _upload(client, collection)
            per_second = len(collection.documents) / (time.perf_counter() - started)
            for mode in MODES:
                rankings[mode] = await _ask(client, base, collection, mode)
    quality = {name: _quality(found, collection.judged) for name, found in rankings.items()}
    return [Figure("Cranfield: small documents that become searchable", per_second, "/s"), *_figures(quality)]


def _figures(quality: Mapping[str, "_Quality"]) -> list[Figure]:
    compared = {
        "keyword": ("a textbook BM25", "textbook", ">= 1"),
        "hybrid": ("the better of the two alone", "", "> 1"),
    }
    figures: list[Figure] = []
    for name, found in quality.items():
        label, other, goal = compared.get(name, ("", "", ""))
        alone = quality[other] if other else max(quality["vector"], quality["keyword"], key=lambda one: one.ndcg)
        ratio = found.ndcg / alone.ndcg if label else None
        figures.append(Figure(f"Cranfield, {name}: nDCG@{_DEPTH}", found.ndcg, "", label, ratio, goal))
        figures.append(Figure(f"Cranfield, {name}: recall@{_DEEP}", found.recall, ""))
        figures.append(Figure(f"Cranfield, {name}: MRR", found.mrr, ""))
    return figures


async def _use_key(client: Client) -> None:
    """What a person is given for signing in does not last as long as this may take."""
    body = {"name": "Cranfield", "scopes": ["knowledge:read", "knowledge:write"]}
    answer = await client.http.post("/api/v1/api-keys", json=body)
    client.http.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['key']}"


async def _upload(client: Client, collection: Collection) -> str:
    answer = await client.http.post("/api/v1/knowledge-bases", json={"name": "Cranfield"})
    base = answer.raise_for_status().json()["id"]
    items = list(collection.documents.items())
    for start in range(0, len(items), _FILES_AT_ONCE):
        files = [
            ("files", (f"{key}.txt", text.encode(), "text/plain"))
            for key, text in items[start : start + _FILES_AT_ONCE]
        ]
        added = await client.http.post(f"/api/v1/knowledge-bases/{base}/documents", files=files, timeout=120)
        added.raise_for_status()
    async with asyncio.timeout(_PATIENCE):
        while await _unfinished(client, base):  # noqa: ASYNC110  # as any client of the API would wait
            await asyncio.sleep(2)
    return base


async def _unfinished(client: Client, base: str) -> int:
    counts = {"pending": 0, "processing": 0, "failed": 0}
    for status in counts:
        params = {"status": status, "limit": 1}
        answer = await client.http.get(f"/api/v1/knowledge-bases/{base}/documents", params=params)
        counts[status] = len(answer.raise_for_status().json()["items"])
    if counts["failed"]:
        raise RuntimeError("a document of the collection could not be read")
    return counts["pending"] + counts["processing"]


async def _ask(client: Client, base: str, collection: Collection, mode: str) -> dict[str, Ranking]:
    turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def one(question: str) -> Ranking:
        body = {"knowledge_base_ids": [base], "query": question, "top_k": _DEEP, "mode": mode}
        async with turns:
            answer = await client.http.post("/api/v1/knowledge-bases/query", json=body)
        return _documents(answer.raise_for_status().json()["passages"])

    found = await asyncio.gather(*(one(question) for question in collection.questions.values()))
    return dict(zip(collection.questions, found, strict=True))


def _documents(passages: Sequence[Mapping[str, Any]]) -> Ranking:
    """Each document where its first passage is."""
    names = (name for one in passages for name in (one["document_name"], *(o["document_name"] for o in one["also_in"])))
    return list(dict.fromkeys(name.removesuffix(".txt") for name in names))


def textbook(collection: Collection) -> dict[str, Ranking]:
    """BM25 as it is written in books, with the idf of Lucene, over whole documents and without stop words."""
    documents = {key: _stems(text) for key, text in collection.documents.items()}
    mean = sum(words.total() for words in documents.values()) / len(documents)
    postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, words in documents.items():
        for word, times in words.items():
            postings[word].append((key, times))
    norms = {key: _K1 * (1 - _B + _B * words.total() / mean) for key, words in documents.items()}

    def rank(question: str) -> Ranking:
        scores: dict[str, float] = defaultdict(float)
        for word, asked in _stems(question).items():
            there = postings.get(word, [])
            idf = math.log(1 + (len(documents) - len(there) + 0.5) / (len(there) + 0.5))
            for key, times in there:
                scores[key] += asked * idf * times / (times + norms[key])
        return sorted(scores, key=lambda key: (-scores[key], key))

    return {key: rank(question) for key, question in collection.questions.items()}


def _stems(text: str) -> Counter[str]:
    stemmer: Any = import_module("Stemmer").Stemmer("english")
    return Counter(stemmer.stemWords(re.findall(r"[a-z0-9]+", text.lower())))


@dataclass(frozen=True)
class _Quality:
    ndcg: float
    recall: float
    mrr: float


def _quality(rankings: Mapping[str, Ranking], judged: Mapping[str, Mapping[str, int]]) -> _Quality:
    each = [_of_one(rankings[question], grades) for question, grades in judged.items() if question in rankings]
    return _Quality(*(sum(one) / len(each) for one in zip(*each, strict=True)))


def _of_one(ranking: Ranking, grades: Mapping[str, int]) -> tuple[float, float, float]:
    gain = _discounted([grades.get(key, 0) for key in ranking[:_DEPTH]])
    best = _discounted(sorted(grades.values(), reverse=True)[:_DEPTH])
    first = next((n for n, key in enumerate(ranking, 1) if key in grades), None)
    recall = len(grades.keys() & set(ranking[:_DEEP])) / len(grades)
    return gain / best, recall, 1 / first if first else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ[FOLDER] = sys.argv[1]
    print(json.dumps([asdict(figure) for figure in asyncio.run(measure())], indent=2))
