"""Our ONNX graph against the same network written out in numpy, on small random weights of the same shape."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from cli.stack.minilm import HEADS, LAYERS, WIDTH, convert

Array = NDArray[np.float32]
VOCABULARY, POSITIONS, INNER = 50, 24, 64

_erf = np.vectorize(math.erf, otypes=[np.float32])


def random_weights(generator: np.random.Generator) -> dict[str, Array]:
    def matrix(*shape: int) -> Array:
        return generator.normal(0, 0.2, shape).astype(np.float32)

    def linear(name: str, width: int, height: int) -> dict[str, Array]:
        return {f"{name}.weight": matrix(height, width), f"{name}.bias": matrix(height)}

    def norm(name: str) -> dict[str, Array]:
        return {f"{name}.weight": 1 + matrix(WIDTH), f"{name}.bias": matrix(WIDTH)}

    weights = {
        "embeddings.word_embeddings.weight": matrix(VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": matrix(2, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            weights |= linear(f"{name}.attention.self.{part}", WIDTH, WIDTH)
        weights |= linear(f"{name}.attention.output.dense", WIDTH, WIDTH)
        weights |= norm(f"{name}.attention.output.LayerNorm")
        weights |= linear(f"{name}.intermediate.dense", WIDTH, INNER)
        weights |= linear(f"{name}.output.dense", INNER, WIDTH)
        weights |= norm(f"{name}.output.LayerNorm")
    return weights


class Reference:
    """The network, one operation after the other."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64], types: NDArray[np.int64]) -> Array:
        weights = self._weights
        hidden = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][types]
        )
        hidden = self._norm("embeddings.LayerNorm", hidden)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            attended = self._linear(f"{name}.attention.output.dense", self._attend(name, hidden, mask))
            hidden = self._norm(f"{name}.attention.output.LayerNorm", hidden + attended)
            inner = self._linear(f"{name}.intermediate.dense", hidden)
            inner = 0.5 * inner * (1 + _erf(inner / math.sqrt(2)))
            hidden = self._norm(f"{name}.output.LayerNorm", hidden + self._linear(f"{name}.output.dense", inner))
        return hidden

    def _attend(self, name: str, hidden: Array, mask: NDArray[np.int64]) -> Array:
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", hidden).reshape(*hidden.shape[:2], HEADS, -1)
            for part in ("query", "key", "value")
        )
        scores = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(WIDTH // HEADS)
        scores = np.where(mask[:, None, None, :] == 1, scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return np.einsum("bhqk,bkhd->bqhd", shares, value).reshape(hidden.shape)

    def _linear(self, name: str, value: Array) -> Array:
        return value @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, name: str, value: Array) -> Array:
        centred = value - value.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-12)
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_the_graph_computes_what_the_network_computes(tmp_path: Path, prefix: str) -> None:
    generator = np.random.default_rng(7)
    weights = random_weights(generator)
    save_file({prefix + name: tensor for name, tensor in weights.items()}, tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch, tokens in ((1, 1), (3, 17), (2, POSITIONS)):
        lengths = generator.integers(1, tokens + 1, batch)
        mask = (np.arange(tokens)[None, :] < lengths[:, None]).astype(np.int64)
        ids = generator.integers(0, VOCABULARY, (batch, tokens))
        types = generator.integers(0, 2, (batch, tokens))
        (computed,) = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
        expected = Reference(weights)(ids, mask, types)
        # What stands in a padded place is nobody's concern.
        assert np.abs((computed - expected) * mask[:, :, None]).max() < 1e-4
