"""all-MiniLM-L6-v2 as an ONNX graph, written from its published weights alone: no torch, no other model's export.

The graph takes `input_ids`, `attention_mask` and `token_type_ids` (batch x tokens, int64) and gives
`last_hidden_state` (batch x tokens x 384, float32). Pooling and normalisation are the caller's.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Neither has types that say anything.
onnx: Any = import_module("onnx")
safetensors: Any = import_module("safetensors.numpy")

LAYERS = 6
HEADS = 12
WIDTH = 384
_HEAD_WIDTH = WIDTH // HEADS
_NORM_EPSILON = 1e-12
_MASKED = -1e9
_OPSET = 17
_IR_VERSION = 8

Tensor = NDArray[np.float32] | NDArray[np.int64]


def convert(weights: Path, target: Path) -> None:
    """Write the fp32 graph for a `model.safetensors` of this architecture, and check that it is well formed."""
    loaded: dict[str, NDArray[Any]] = safetensors.load_file(weights)
    tensors = {name.removeprefix("bert."): tensor.astype(np.float32) for name, tensor in loaded.items()}
    model = _Encoder(tensors).build()
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


class _Graph:
    """Nodes and constants under names that are made up as they come. A value is its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def integers(self, value: int | list[int]) -> str:
        return self.constant(np.array(value, dtype=np.int64))

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name


class _Encoder:
    """BERT's encoder, as the weights' names describe it."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        self._tensors = tensors
        self._graph = _Graph()

    def build(self) -> Any:
        graph = self._graph
        hidden = self._embed()
        bias = self._attention_bias()
        for layer in range(LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, bias)
        graph.nodes.append(onnx.helper.make_node("Identity", [hidden], ["last_hidden_state"]))
        info = onnx.helper.make_tensor_value_info
        integer, real = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
        names = ("input_ids", "attention_mask", "token_type_ids")
        made = onnx.helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [info(name, integer, ["batch", "tokens"]) for name in names],
            [info("last_hidden_state", real, ["batch", "tokens", WIDTH])],
            graph.constants,
        )
        opsets = [onnx.helper.make_opsetid("", _OPSET)]
        return onnx.helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION)

    def _weight(self, name: str) -> str:
        return self._graph.constant(self._tensors[name])

    def _embed(self) -> str:
        graph = self._graph
        length = graph.apply("Gather", graph.apply("Shape", "input_ids"), graph.integers(1))
        positions = graph.apply("Range", graph.integers(0), length, graph.integers(1))
        words = graph.apply("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        places = graph.apply("Gather", self._weight("embeddings.position_embeddings.weight"), positions)
        types = graph.apply("Gather", self._weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        total = graph.apply("Add", graph.apply("Add", words, places), types)
        return self._norm("embeddings.LayerNorm", total)

    def _attention_bias(self) -> str:
        """Nothing for tokens, minus infinity for padding, shaped to be added to every head's scores."""
        graph = self._graph
        mask = graph.apply("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
        mask = graph.apply("Unsqueeze", mask, graph.integers([1, 2]))
        absent = graph.apply("Sub", graph.number(1.0), mask)
        return graph.apply("Mul", absent, graph.number(_MASKED))

    def _layer(self, name: str, hidden: str, bias: str) -> str:
        graph = self._graph
        attended = self._linear(f"{name}.attention.output.dense", self._attend(f"{name}.attention.self", hidden, bias))
        hidden = self._norm(f"{name}.attention.output.LayerNorm", graph.apply("Add", hidden, attended))
        inner = self._gelu(self._linear(f"{name}.intermediate.dense", hidden))
        outer = self._linear(f"{name}.output.dense", inner)
        return self._norm(f"{name}.output.LayerNorm", graph.apply("Add", hidden, outer))

    def _attend(self, name: str, hidden: str, bias: str) -> str:
        graph = self._graph
        query = self._heads(self._linear(f"{name}.query", hidden), [0, 2, 1, 3])
        key = self._heads(self._linear(f"{name}.key", hidden), [0, 2, 3, 1])
        value = self._heads(self._linear(f"{name}.value", hidden), [0, 2, 1, 3])
        scores = graph.apply("Mul", graph.apply("MatMul", query, key), graph.number(_HEAD_WIDTH**-0.5))
        weights = graph.apply("Softmax", graph.apply("Add", scores, bias), axis=-1)
        mixed = graph.apply("Transpose", graph.apply("MatMul", weights, value), perm=[0, 2, 1, 3])
        return graph.apply("Reshape", mixed, graph.integers([0, 0, WIDTH]))

    def _heads(self, value: str, order: list[int]) -> str:
        shape = self._graph.integers([0, 0, HEADS, _HEAD_WIDTH])
        return self._graph.apply("Transpose", self._graph.apply("Reshape", value, shape), perm=order)

    def _linear(self, name: str, value: str) -> str:
        product = self._graph.apply("MatMul", value, self._graph.constant(self._tensors[f"{name}.weight"].T))
        return self._graph.apply("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, name: str, value: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._graph.apply("LayerNormalization", value, weight, bias, axis=-1, epsilon=_NORM_EPSILON)

    def _gelu(self, value: str) -> str:
        graph = self._graph
        erf = graph.apply("Erf", graph.apply("Mul", value, graph.number(2**-0.5)))
        half = graph.apply("Mul", value, graph.number(0.5))
        return graph.apply("Mul", half, graph.apply("Add", erf, graph.number(1.0)))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
