"""Exact rewrites of an exported graph into what onnxruntime computes fastest on a CPU. Knows no checkpoint.

`Graph` is an ONNX graph with its constants, producers and consumers at hand; `quantize` works on it as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

CONTRIB = "com.microsoft"  #: onnxruntime's own operators, in every build of it
HEADS_APART, KEYS_APART = [0, 2, 1, 3], [0, 2, 3, 1]  #: how q, v and the result, and k, are transposed


class Graph:
    """A graph whose passes collect nodes to put in the place of others. `reindex` after nodes were changed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.constants = {constant.name: constant for constant in self.proto.initializer}
        self._lift_constants()
        self.reindex()

    def _lift_constants(self) -> None:
        """Constant nodes become initializers: one place to look for a number."""
        kept = []
        for node in self.proto.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.store(node.output[0], numpy_helper.to_array(node.attribute[0].t))
            else:
                kept.append(node)
        self._replace_nodes(kept)

    def reindex(self) -> None:
        """Find again which node makes and which nodes use each value."""
        self.made_by = {name: node for node in self.proto.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.proto.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def values(self, name: str) -> NDArray[Any]:
        """A copy of a constant."""
        return np.array(numpy_helper.to_array(self.constants[name]))

    def store(self, name: str, values: NDArray[Any]) -> str:
        """Set a constant, a new one if there is none of that name. Returns the name."""
        if name not in self.constants:
            self.constants[name] = self.proto.initializer.add()
        self.constants[name].CopyFrom(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node of the kind asked for that makes `name`."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == kind else None

    def with_constant(self, node: onnx.NodeProto | None) -> tuple[str, str] | None:
        """(other input, constant input) of a node with two inputs, in whatever order."""
        for other, constant in (node.input, reversed(node.input)) if node is not None and len(node.input) == 2 else ():
            if constant in self.constants:
                return other, constant
        return None

    def only_user(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The one node that uses `name`, if it is of the kind asked for."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and users[0].op_type == kind else None

    def rewrite(self, replacements: dict[str, list[onnx.NodeProto]]) -> None:
        """Put lists of nodes in the place of the nodes that give the outputs named."""
        self._replace_nodes([new for node in self.proto.node for new in replacements.get(node.output[0], [node])])
        self.reindex()

    def drop_unused(self) -> None:
        """Remove nodes and constants from which no output is computed."""
        needed = {output.name for output in self.proto.output}
        kept = []
        for node in reversed(self.proto.node):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.append(node)
        self._replace_nodes(kept[::-1])
        constants = [constant for constant in self.proto.initializer if constant.name in needed]
        del self.proto.initializer[:]
        self.proto.initializer.extend(constants)
        self.constants = {constant.name: constant for constant in self.proto.initializer}
        self.reindex()

    def _replace_nodes(self, nodes: list[onnx.NodeProto]) -> None:
        made = onnx.GraphProto(node=nodes)  # copies: the nodes given may be those about to be deleted
        del self.proto.node[:]
        self.proto.node.extend(made.node)


def fuse_attention(model: onnx.ModelProto, heads: int) -> int:
    """Softmax attention without a mask -> MultiHeadAttention; how many were found. `model` is changed in place.

    Twelve nodes that transpose, scale and reshape become one kernel, which works on blocks that stay in the cache
    (flash attention, Dao et al. 2022).
    """
    graph = Graph(model)
    new = {}
    for softmax in graph.proto.node:
        if softmax.op_type == "Softmax" and (found := _attention(graph, softmax)):
            query, key, value, scale, out = found
            new[out] = [
                helper.make_node(
                    "MultiHeadAttention", [query, key, value], [out], out, domain=CONTRIB, num_heads=heads, scale=scale
                )
            ]
    graph.rewrite(new)
    graph.drop_unused()
    if new and all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return len(new)


def _attention(graph: Graph, softmax: onnx.NodeProto) -> tuple[str, str, str, float, str] | None:
    """(query, key, value, scale, output), each activation (B, S, H), of the attention around a softmax."""
    scores, scale = softmax.input[0], 1.0
    for kind, power in (("Mul", 1), ("Div", -1)):
        scaled = graph.with_constant(graph.maker(scores, kind))
        if scaled and graph.values(scaled[1]).size == 1:
            scores, scale = scaled[0], float(graph.values(scaled[1]).item() ** power)
    products = graph.maker(scores, "MatMul"), graph.only_user(softmax.output[0], "MatMul")
    if products[0] is None or products[1] is None:
        return None
    query = _heads_of(graph, products[0].input[0], HEADS_APART)
    key = _heads_of(graph, products[0].input[1], KEYS_APART)
    value = _heads_of(graph, products[1].input[1], HEADS_APART)
    together = graph.only_user(products[1].output[0], "Transpose")
    out = graph.only_user(together.output[0], "Reshape") if together is not None else None
    if query is None or key is None or value is None or out is None or _order(together) != HEADS_APART:
        return None
    return query, key, value, scale, out.output[0]


def _heads_of(graph: Graph, name: str, order: list[int]) -> str | None:
    """What was reshaped to (B, S, heads, size) and transposed into `name`."""
    transpose = graph.maker(name, "Transpose")
    if transpose is None or _order(transpose) != order:
        return None
    reshape = graph.maker(transpose.input[0], "Reshape")
    return None if reshape is None else str(reshape.input[0])


def _order(transpose: onnx.NodeProto | None) -> list[int]:
    return [] if transpose is None else list(transpose.attribute[0].ints)


def approximate_gelu(model: onnx.ModelProto) -> None:
    """Gelu by tanh (Hendrycks and Gimpel 2016), off by less than 0.0005 and a quarter faster: for int8 only."""
    for node in model.graph.node:
        if node.op_type == "Gelu":
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("approximate", "tanh"))
