"""Work of kind `drill`, which does nothing but what a test asks for.

It takes `spec["steps"]` steps of `spec["seconds"]` each, and writes a line into the file `spec["journal"]` each time
one begins. Meanwhile it logs `spec["chatter"]` lines a second. `spec["deadly"]` ends the process in the middle of its
first step, in one of the ways it names after the other; with `spec["stubborn"]` a step does not stop when told to,
for so many seconds.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from functools import partial
from pathlib import Path
from uuid import UUID

from shared.executions.jobs import JobContext, JobFailed, job
from shared.kit.json import Json
from shared.llm.types import ChatRequest, Message

KIND = "drill"
ASKING = "asking_drill"


@job(KIND)
async def drill(context: JobContext) -> Json:
    chatter = asyncio.create_task(_chatter(context, context.spec.get("chatter", 0)))
    try:
        for number in range(context.spec["steps"]):
            await context.step(f"step-{number}", partial(_step, context, number))
    finally:
        chatter.cancel()
    return {"steps": context.spec["steps"]}


async def _step(context: JobContext, number: int) -> Json:
    spec = context.spec
    _note(Path(spec["journal"]), f"{context.execution_id} {number} {os.getpid()}\n")
    await _sleep(spec["seconds"], spec.get("stubborn", 0))
    if spec.get("fails"):
        raise JobFailed("drill_failed", "as it was told to", {"number": number})
    if "deadly" in spec:
        _die(spec["deadly"][_count(Path(spec["journal"]), context.execution_id) % len(spec["deadly"]) - 1])
    return {"number": number}


def _kept(file: Path) -> set[int]:
    return {int(line) for line in file.read_text().split()} if file.exists() else set()


def _note(journal: Path, line: str) -> None:
    with journal.open("ab", buffering=0) as lines:  # one write, which appending makes atomic
        lines.write(line.encode())


async def _sleep(seconds: float, stubborn: float) -> None:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        until = time.monotonic() + stubborn
        while time.monotonic() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
        raise


async def _chatter(context: JobContext, rate: float) -> None:
    number = 0
    while rate:
        number += 1
        context.log("info", "still here", number=number)
        await asyncio.sleep(1 / rate)


def _count(journal: Path, execution_id: UUID) -> int:
    """How often this execution has begun a step, this one included."""
    return journal.read_text().count(str(execution_id))


def _die(way: str) -> None:
    match way:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case _:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is out


@job(ASKING)
async def asking(context: JobContext) -> Json:
    """Embeds `spec["texts"]` texts one by one, keeps what it gets in the file `spec["kept"]`, and asks one question."""
    model, chat = UUID(context.spec["embedding_model"]), UUID(context.spec["chat_model"])
    kept = Path(context.spec["kept"])

    async def embed() -> Json:
        for number in range(context.spec["texts"]):
            if number not in _kept(kept):
                [vector] = await context.embed(model, [f"text {number}"])
                assert len(vector) == 384
                _note(kept, f"{number}\n")
        return len(_kept(kept))

    async def summary() -> Json:
        reply = await context.complete(chat, ChatRequest((Message("user", "What was it about?"),)))
        return {"text": reply.text, "tokens": reply.usage.output_tokens}

    return {"embedded": await context.step("embed", embed), "summary": await context.step("summary", summary)}
