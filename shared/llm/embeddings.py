"""Text embeddings by all-MiniLM-L6-v2 on onnxruntime: 384 dimensions, unit length, no network, no torch."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL_NAME = "all-MiniLM-L6-v2"
DIMENSIONS = 384
# What the model reads of a text; two of these mark its begin and end, the rest is cut off.
MAX_TOKENS = 256
CONTENT_TOKENS = MAX_TOKENS - 2

Vectors = NDArray[np.float32]

# A batch of short texts may have many, a long text is alone. What such a run works on mostly stays in the processor's
# cache, and little is padded: with 1024 it took a fourth longer, and more memory.
_BATCH_TOKENS = MAX_TOKENS
_BATCH_TEXTS = 64


class EmbeddingsUnavailable(Exception):
    """The model's files are not in the cache. The message says what to do."""


class Embedder:
    """One per process. The model is loaded by the first text; every method may be called from any thread."""

    def __init__(self, cache: Path, *, threads: int = 1) -> None:
        """`cache` is QUARTERDECK_CACHE; `threads` is how many cores one run may use."""
        self._directory = cache / "minilm"
        self._threads = threads
        # One at a time: runs side by side only take the cores from one another. Batches of many callers take turns.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order. Leaves the event loop free; long lists let others in between."""
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._executor, self._prepare, texts)
        found: list[list[float]] = [[] for _ in texts]
        for positions, batch in prepared:
            vectors = await loop.run_in_executor(self._executor, self._run, batch)
            for position, vector in zip(positions, vectors.tolist(), strict=True):
                found[position] = vector
        return found

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the model each whole text is, marks not counted."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    def tokenize_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in the whole text each of its tokens stands."""
        return self._tokenizer.encode(text, add_special_tokens=False).offsets

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _prepare(self, texts: Sequence[str]) -> list[tuple[list[int], list[list[int]]]]:
        """Batches of texts of like length, so that little is padded, and where each text came from."""
        tokens = [encoding.ids for encoding in self._cutting_tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda n: len(tokens[n]))
        return [(positions, [tokens[n] for n in positions]) for positions in _batches(order, tokens)]

    def _run(self, batch: list[list[int]]) -> Vectors:
        longest = len(batch[-1])
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Vectors = self._session.run(None, inputs)[0]
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    @cached_property
    def _session(self) -> Any:
        onnxruntime: Any = import_module("onnxruntime")
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # The arena keeps what the largest batch took; without it memory falls back when ingestion is over.
        options.enable_cpu_mem_arena = False
        model = str(self._file("model.onnx"))
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = self._load_tokenizer()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _cutting_tokenizer(self) -> Any:
        tokenizer = self._load_tokenizer()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer

    def _load_tokenizer(self) -> Any:
        tokenizer: Any = import_module("tokenizers").Tokenizer.from_file(str(self._file("tokenizer.json")))
        tokenizer.no_padding()
        return tokenizer

    def _file(self, name: str) -> Path:
        path = self._directory / name
        if not path.exists():
            raise EmbeddingsUnavailable(
                f"the embedding model {MODEL_NAME} is not at {self._directory}; `quarterdeck up` puts it there"
            )
        return path


def _batches(order: Sequence[int], tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Cuts positions sorted by length. The last of a batch is its longest, which all others are padded to."""
    batch: list[int] = []
    for position in order:
        if batch and (len(batch) == _BATCH_TEXTS or (len(batch) + 1) * len(tokens[position]) > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
