"""fp32 graph -> int8 graph: int8 weights and embeddings, activations quantized dynamically. Knows no checkpoint.

Dynamic quantization gives the whole input of a matrix product one scale. In BERT-like models a few channels are ten
times larger than all others, on [CLS] and on punctuation, and leave little resolution for the rest: 95 % of the error
of plain int8 is there, 4 % in the weights and none in the embeddings (models/minilm-l6-qa/README.md has the figures).
So, exactly and before anything is rounded:

1. The output of a LayerNorm is divided channel by channel, and the weights that follow are multiplied: SmoothQuant
   (Xiao et al. 2023), with the division left as one cheap node because the residual needs the undivided values.
2. In a feed-forward block a few neurons are so large that they would spoil the weights instead: those get twins in
   fp32, as in LLM.int8() (Dettmers et al. 2022), and are 0 in int8.
3. Small matrices, the twins and the head of the reader, stay in fp32.

The size of a channel is measured on a few texts from the caller: the places of outliers are a trait of the model. Gelu
becomes its approximation by tanh, whose error is far smaller than that of int8.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from worker.build.rewrite import Graph, approximate_gelu

Floats = NDArray[np.float32]
Feed = dict[str, NDArray[np.int64]]

#: onnxruntime would fuse the residual and the LayerNorm into a kernel that is 5 to 10 % slower here than both apart.
DISABLED_OPTIMIZERS = ("SkipLayerNormFusion",)

SMOOTHING = 0.75  #: SmoothQuant's alpha: 0.65 to 0.75 err equally here, 0.5 a fifth more
OUTLIER = 1.5  #: times the 99th percentile of the neurons' largest values
MOST_OUTLIERS = 8  #: more than this are not outliers
ELEMENTWISE = ("Gelu", "Relu", "Tanh")  #: functions in a feed-forward block; each of them is 0 at 0
SMALL_TABLE = 1 << 15  #: embeddings with fewer numbers (token types) stay fp32
SMALL_MATRIX = 16  #: so do matrices with fewer rows or columns: the head, the fp32 side of rule 2


def quantize(model: onnx.ModelProto, texts: Iterable[Feed]) -> onnx.ModelProto:
    """Turn `model` (changed in place) into int8. `texts`: a few feeds of the graph's inputs, (1, S) each. Raises
    ValueError if it has no products that can be int8."""
    graph = Graph(model)
    _split_products(graph)
    if not _products(graph):
        raise ValueError("it has no product with a constant matrix")
    _even_out(graph, _largest(graph, texts))
    _quantize_embeddings(graph)
    _quantize_products(graph)
    graph.drop_unused()
    approximate_gelu(model)
    return model


def _split_products(graph: Graph) -> None:
    """Gemm -> MatMul and Add, the form in which the other passes know a product with a constant matrix."""
    new = {}
    for node in graph.proto.node:
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        plain = (
            node.op_type == "Gemm"
            and not values.get("transA")
            and values.get("alpha", 1) == 1
            and values.get("beta", 1) == 1
        )
        if not plain or node.input[1] not in graph.constants:
            continue
        weights, out = node.input[1], node.output[0]
        if values.get("transB"):
            weights = graph.store(f"{out}/weights", graph.values(weights).T)
        bias = node.input[2] if len(node.input) > 2 else None
        product = helper.make_node(
            "MatMul", [node.input[0], weights], [f"{out}/product" if bias else out], f"{out}/matmul"
        )
        new[out] = [product]
        if bias:
            new[out].append(helper.make_node("Add", [f"{out}/product", bias], [out], f"{out}/add"))
    graph.rewrite(new)


def _products(graph: Graph) -> dict[str, list[onnx.NodeProto]]:
    """Products of an activation and a constant matrix, by the activation: query, key and value share one."""
    products: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.proto.node:
        weights = graph.constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is not None and len(weights.dims) == 2 and min(weights.dims) >= SMALL_MATRIX:
            products.setdefault(node.input[0], []).append(node)
    return products


def _largest(graph: Graph, texts: Iterable[Feed]) -> dict[str, Floats]:
    """The largest absolute value of each channel of each product's activation, (K,), over all texts."""
    names = list(_products(graph))
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
    """A quiet session for a graph, or for a file, which may have external data."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be printed as well
    graph = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(graph, options, ["CPUExecutionProvider"], disabled_optimizers=list(DISABLED_OPTIMIZERS))


def _even_out(graph: Graph, largest: dict[str, Floats]) -> None:
    """Rules 1 and 2 of this module, except for weights that layers share (ALBERT), which cannot suit each layer."""
    new: dict[str, list[onnx.NodeProto]] = {}
    for name, products in _products(graph).items():
        maker = graph.made_by.get(name)
        if maker is None or any(len(graph.users[product.input[1]]) > 1 for product in products):
            continue
        if maker.op_type == "LayerNormalization":
            new |= _smooth(graph, name, products, largest[name])
        elif maker.op_type in ELEMENTWISE and len(graph.users[name]) == 1:
            new |= _set_apart(graph, maker, products[0], largest[name])
    graph.rewrite(new)


def _smooth(graph: Graph, name: str, products: list[onnx.NodeProto], largest: Floats) -> dict[str, list[Any]]:
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


def _set_apart(
    graph: Graph, function: onnx.NodeProto, product: onnx.NodeProto, largest: Floats
) -> dict[str, list[Any]]:
    """Give twins to outliers among the neurons `function(inner product + bias)`, and set their weights here to 0."""
    outliers = np.flatnonzero(largest > OUTLIER * np.quantile(largest, 0.99))
    biased = graph.with_constant(graph.maker(function.input[0], "Add"))
    inner = graph.maker(biased[0], "MatMul") if biased else None
    if not 0 < len(outliers) <= MOST_OUTLIERS or biased is None or inner is None:
        return {}
    if inner.input[1] not in graph.constants or len(graph.users[inner.input[1]]) > 1 or len(graph.users[biased[1]]) > 1:
        return {}
    out, twin = product.output[0], f"{function.output[0]}/twin"
    weights, bias, after = (
        _take(graph, name, outliers, axis)
        for name, axis in ((inner.input[1], 1), (biased[1], 0), (product.input[1], 0))
    )
    product.output[0] = f"{out}/others"
    again = onnx.NodeProto()
    again.CopyFrom(function)
    again.name, again.input[0], again.output[0] = twin, f"{twin}/biased", twin
    nodes = [
        helper.make_node("MatMul", [inner.input[0], weights], [f"{twin}/inner"], f"{twin}/inner"),
        helper.make_node("Add", [f"{twin}/inner", bias], [f"{twin}/biased"], f"{twin}/biased"),
        again,
        helper.make_node("MatMul", [twin, after], [f"{out}/twin"], f"{out}/twin"),
        helper.make_node("Add", [product.output[0], f"{out}/twin"], [out], f"{out}/sum"),
    ]
    return {product.output[0]: [product, *nodes]}


def _take(graph: Graph, name: str, picked: NDArray[np.int64], axis: int) -> str:
    """Move entries of a constant to a new one, and leave 0 in their place."""
    values = graph.values(name)
    taken = graph.store(f"{name}/twin", values.take(picked, axis))
    np.moveaxis(values, axis, 0)[picked] = 0
    graph.store(name, values)
    return taken


def _quantize_embeddings(graph: Graph) -> None:
    """Tables that are used only for lookups become int8 with a scale for each row: no measurable loss."""
    uses = [name for node in graph.proto.node for name in node.input]
    new = {}
    for node in graph.proto.node:
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or np.prod(table.dims) < SMALL_TABLE or uses.count(table.name) > 1:
            continue
        if table.data_type == TensorProto.FLOAT:
            new[node.output[0]] = _lookup(graph, node)
    graph.rewrite(new)


def _lookup(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
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


def _quantize_products(graph: Graph) -> None:
    """MatMul -> DynamicQuantizeLinear, MatMulInteger, rescale: the pattern that onnxruntime fuses into one kernel.

    Signed weights with a scale for each output: twice as fast as unsigned ones, or as one scale for all.
    """
    new: dict[str, list[onnx.NodeProto]] = {}
    for name, products in _products(graph).items():
        parts = [f"{name}/uint8", f"{name}/scale", f"{name}/zero"]
        shared = [helper.make_node("DynamicQuantizeLinear", [name], parts, f"{name}/quantize")]
        for product in products:
            new[product.output[0]] = shared + _product(graph, product, *parts)
            shared = []
    graph.rewrite(new)


def _product(graph: Graph, node: onnx.NodeProto, values: str, scale: str, zero: str) -> list[onnx.NodeProto]:
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
