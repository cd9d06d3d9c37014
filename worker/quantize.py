"""fp32 graph -> int8 graph: int8 weights and embeddings, activations quantized as they come. Knows no checkpoint.

Dynamic quantization gives the whole input of a matrix product one scale. In BERT-like models a few channels are ten
times larger than all others, on [CLS] and on punctuation, and take the resolution from the rest: of the error of plain
int8, 95 % is there, 4 % in the weights and nothing in the embeddings (models/minilm-l6-qa/README.md has the figures).
So, exactly and before anything is rounded:

1. The output of a LayerNorm is divided channel by channel, and the weights that follow are multiplied: SmoothQuant
   (Xiao et al. 2023), with the division left as one cheap node because the residual needs the undivided values.
2. Elsewhere - the inside of a feed-forward block - single channels tower so high that they would spoil the weights
   instead: those few are multiplied apart in fp32, as in LLM.int8() (Dettmers et al. 2022).

How large a channel gets is seen on the few texts that the caller feeds; where outliers are is a trait of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
Feed = dict[str, NDArray[np.int64]]

#: onnxruntime fuses the residual and the LayerNorm into a kernel that is 5 to 10 % slower here than the two apart.
DISABLED_OPTIMIZERS = ("SkipLayerNormFusion",)

SMOOTHING = 0.65  #: SmoothQuant's alpha: 0.5 to 0.8 err about equally here, 0.3 far more
OUTLIER = 2.0  #: times the 99th percentile of the channels' largest values
MOST_OUTLIERS = 8  #: more of them are no outliers
SMALL_TABLE = 1 << 15  #: embeddings of fewer numbers (token types) stay as they are
MIN_ROWS = 16  #: so do products of this few input channels: the fp32 side of rule 2


class _Graph:
    """A graph with its constants at hand. Nodes are collected anew where a pass has changed them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.constants = {constant.name: constant for constant in self.proto.initializer}

    def values(self, name: str) -> NDArray[Any]:
        return np.array(numpy_helper.to_array(self.constants[name]))

    def store(self, name: str, values: NDArray[Any]) -> str:
        if name not in self.constants:
            self.constants[name] = self.proto.initializer.add()
        self.constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def drop_unused(self) -> None:
        used = {name for node in self.proto.node for name in node.input}
        kept = [constant for constant in self.proto.initializer if constant.name in used]
        del self.proto.initializer[:]
        self.proto.initializer.extend(kept)

    def rewrite(self, replacements: dict[str, list[onnx.NodeProto]]) -> None:
        """Put lists of nodes in the place of the nodes that give the outputs named."""
        nodes = [new for node in self.proto.node for new in replacements.get(node.output[0], [node])]
        del self.proto.node[:]
        self.proto.node.extend(nodes)

    def products(self) -> dict[str, list[onnx.NodeProto]]:
        """Products of an activation and a constant matrix, by the activation: query, key and value share one."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.proto.node:
            weights = self.constants.get(node.input[1]) if node.op_type == "MatMul" else None
            if weights is not None and len(weights.dims) == 2 and weights.dims[0] >= MIN_ROWS:
                found.setdefault(node.input[0], []).append(node)
        return found


def quantize(model: onnx.ModelProto, texts: Iterable[Feed]) -> onnx.ModelProto:
    """Turn `model` (changed in place) into int8. `texts`: a few feeds of the graph's inputs, (1, S) each."""
    graph = _Graph(model)
    _even_out(graph, _largest(graph, texts))
    _quantize_embeddings(graph)
    _quantize_products(graph)
    graph.drop_unused()
    return model


def _largest(graph: _Graph, texts: Iterable[Feed]) -> dict[str, Floats]:
    """The largest absolute value of each channel of each product's activation, (K,), over all texts."""
    names = list(graph.products())
    probe = onnx.ModelProto()
    probe.CopyFrom(graph.model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = load(probe)
    largest: dict[str, Floats] = {}
    for feed in texts:
        for name, values in zip(names, session.run(names, feed), strict=True):
            seen = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, seen), seen)
    return largest


def load(model: onnx.ModelProto | Path) -> ort.InferenceSession:
    """A quiet session over a graph; over a file when it has external data."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(given, options, ["CPUExecutionProvider"], disabled_optimizers=list(DISABLED_OPTIMIZERS))


def _even_out(graph: _Graph, largest: dict[str, Floats]) -> None:
    """Rules 1 and 2 of this module. Weights that layers share (ALBERT) are left: they cannot suit each layer."""
    made_by = {name: node.op_type for node in graph.proto.node for name in node.output}
    uses = [name for node in graph.proto.node for name in node.input]
    new: dict[str, list[onnx.NodeProto]] = {}
    for name, products in graph.products().items():
        if name not in largest or any(uses.count(product.input[1]) > 1 for product in products):
            continue
        if made_by.get(name) == "LayerNormalization":
            new |= _smooth(graph, name, products, largest[name])
        else:
            new |= _set_apart(graph, name, products, largest[name])
    graph.rewrite(new)


def _smooth(graph: _Graph, name: str, products: list[onnx.NodeProto], largest: Floats) -> dict[str, list[Any]]:
    weights = np.max([np.abs(graph.values(product.input[1])).max(axis=1) for product in products], axis=0)
    scale = np.maximum(largest, 1e-3) ** SMOOTHING / np.maximum(weights, 1e-3) ** (1 - SMOOTHING)
    scale = (scale / np.median(scale)).astype(np.float32)
    inverse = graph.store(f"{name}/smoothing", 1 / scale)
    divide = helper.make_node("Mul", [name, inverse], [f"{name}/smooth"], f"{name}/smooth")
    for product in products:
        graph.store(product.input[1], graph.values(product.input[1]) * scale[:, None])
        product.input[0] = divide.output[0]
    first = products[0]
    return {first.output[0]: [divide, first]}


def _set_apart(graph: _Graph, name: str, products: list[onnx.NodeProto], largest: Floats) -> dict[str, list[Any]]:
    outliers = np.flatnonzero(largest > OUTLIER * np.quantile(largest, 0.99))
    if not 0 < len(outliers) <= MOST_OUTLIERS:
        return {}
    others = np.ones_like(largest)
    others[outliers] = 0
    mask, picked = graph.store(f"{name}/others", others), graph.store(f"{name}/picked", outliers)
    head = [
        helper.make_node("Mul", [name, mask], [f"{name}/quiet"], f"{name}/quiet"),
        helper.make_node("Gather", [name, picked], [f"{name}/loud"], f"{name}/loud", axis=-1),
    ]
    new = {}
    for product in products:
        out, weights = product.output[0], graph.values(product.input[1])
        loud = graph.store(f"{out}/loud_weights", weights[outliers])
        graph.store(product.input[1], weights * others[:, None])
        product.input[0], product.output[0] = f"{name}/quiet", f"{out}/quiet"
        apart = helper.make_node("MatMul", [f"{name}/loud", loud], [f"{out}/loud"], f"{out}/loud")
        add = helper.make_node("Add", [f"{out}/quiet", f"{out}/loud"], [out], f"{out}/sum")
        new[product.output[0]] = [*head, product, apart, add]
        head = []
    return new


def _quantize_embeddings(graph: _Graph) -> None:
    """Tables that are only looked up in become int8 with a scale for each row: nothing measurable is lost."""
    uses = [name for node in graph.proto.node for name in node.input]
    new = {}
    for node in graph.proto.node:
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or np.prod(table.dims) < SMALL_TABLE or uses.count(table.name) > 1:
            continue
        if table.data_type == TensorProto.FLOAT:
            new[node.output[0]] = _lookup(graph, node)
    graph.rewrite(new)


def _lookup(graph: _Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    out, (table, ids) = node.output[0], node.input
    values, scales = _to_int8(graph.values(table), axis=1)
    rows = graph.store(f"{table}/int8", values)
    scale = graph.store(f"{table}/scale", scales)
    return [
        helper.make_node("Gather", [rows, ids], [f"{out}/int8"], f"{out}/int8"),
        helper.make_node("Cast", [f"{out}/int8"], [f"{out}/float"], f"{out}/float", to=TensorProto.FLOAT),
        helper.make_node("Gather", [scale, ids], [f"{out}/scale"], f"{out}/scale"),
        helper.make_node("Mul", [f"{out}/float", f"{out}/scale"], [out], f"{out}/scaled"),
    ]


def _quantize_products(graph: _Graph) -> None:
    """MatMul -> DynamicQuantizeLinear, MatMulInteger, rescale: the pattern that onnxruntime fuses into one kernel.

    Signed weights with a scale for each output: twice as fast as unsigned ones, or one scale for all (DESIGN).
    """
    new: dict[str, list[onnx.NodeProto]] = {}
    for name, products in graph.products().items():
        parts = [f"{name}/uint8", f"{name}/scale", f"{name}/zero"]
        shared = [helper.make_node("DynamicQuantizeLinear", [name], parts, f"{name}/quantize")]
        for product in products:
            new[product.output[0]] = shared + _product(graph, product, *parts)
            shared = []
    graph.rewrite(new)


def _product(graph: _Graph, node: onnx.NodeProto, values: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    out, weights = node.output[0], node.input[1]
    if f"{weights}/int8" not in graph.constants:
        rounded, scales = _to_int8(graph.values(weights), axis=0)
        graph.store(f"{weights}/int8", rounded)
        graph.store(f"{weights}/scale", scales[0])
        graph.store(f"{weights}/zero", np.zeros_like(scales[0], np.int8))
    integer = [values, f"{weights}/int8", zero, f"{weights}/zero"]
    return [
        helper.make_node("MatMulInteger", integer, [f"{out}/int32"], f"{out}/int32"),
        helper.make_node("Cast", [f"{out}/int32"], [f"{out}/float"], f"{out}/float", to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, f"{weights}/scale"], [f"{out}/scale"], f"{out}/scale"),
        helper.make_node("Mul", [f"{out}/float", f"{out}/scale"], [out], f"{out}/scaled"),
    ]


def _to_int8(values: Floats, axis: int) -> tuple[NDArray[np.int8], Floats]:
    """Symmetric int8, and the scales: one for each row (`axis` 1) or column (0), kept as a dimension of size 1."""
    scales = np.abs(values).max(axis=axis, keepdims=True) / 127
    scales[scales == 0] = 1
    return np.rint(values / scales).astype(np.int8), scales.astype(np.float32)
