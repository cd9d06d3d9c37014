"""Exact rewrites of an exported graph into what onnxruntime computes fastest on a CPU. Knows no checkpoint.

`Graph` is an ONNX graph with an index of its constants, producers and consumers; `quantize` works on it too.
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
    """A graph whose passes collect nodes that replace others. Call `reindex` after changing nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.constants = {constant.name: constant for constant in self.proto.initializer}
        self._lift_constants()
        self.reindex()

    def _lift_constants(self) -> None:
        """Constant nodes become initializers: one place for all constants."""
        others = []
        for node in self.proto.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.store(node.output[0], numpy_helper.to_array(node.attribute[0].t))
            else:
                others.append(node)
        self._replace_nodes(others)

    def reindex(self) -> None:
        """Index which node makes each value, and which nodes use it."""
        self.made_by = {name: node for node in self.proto.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.proto.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def values(self, name: str) -> NDArray[Any]:
        """A copy of a constant."""
        return np.array(numpy_helper.to_array(self.constants[name]))

    def store(self, name: str, values: NDArray[Any]) -> str:
        """Set a constant, a new one if the name is new. Returns the name."""
        if name not in self.constants:
            self.constants[name] = self.proto.initializer.add()
        self.constants[name].CopyFrom(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node that makes `name`, if it is of this kind."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == kind else None

    def with_constant(self, node: onnx.NodeProto | None) -> tuple[str, str] | None:
        """(other input, constant input) of a node with two inputs, in either order."""
        for other, constant in (node.input, reversed(node.input)) if node is not None and len(node.input) == 2 else ():
            if constant in self.constants:
                return other, constant
        return None

    def only_user(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node that uses `name`, if it is the only one and of this kind."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and users[0].op_type == kind else None

    def rewrite(self, replacements: dict[str, list[onnx.NodeProto]]) -> None:
        """Replace the nodes with these outputs by lists of nodes."""
        self._replace_nodes([new for node in self.proto.node for new in replacements.get(node.output[0], [node])])
        self.reindex()

    def drop_unused(self) -> None:
        """Remove nodes and constants that no output depends on."""
        needed = {output.name for output in self.proto.output}
        used = []
        for node in reversed(self.proto.node):
            if needed & set(node.output):
                needed |= set(node.input)
                used.append(node)
        self._replace_nodes(used[::-1])
        constants = [constant for constant in self.proto.initializer if constant.name in needed]
        del self.proto.initializer[:]
        self.proto.initializer.extend(constants)
        self.constants = {constant.name: constant for constant in self.proto.initializer}
        self.reindex()

    def _replace_nodes(self, nodes: list[onnx.NodeProto]) -> None:
        copies = onnx.GraphProto(node=nodes)  # the nodes may be those that are deleted next
        del self.proto.node[:]
        self.proto.node.extend(copies.node)


def fuse_attention(model: onnx.ModelProto, heads: int) -> int:
    """Softmax attention without a mask -> MultiHeadAttention; returns how many. Changes `model` in place.

    Twelve nodes that transpose, scale and reshape become one kernel, which works on blocks that stay in the cache
    (flash attention, Dao et al. 2022).
    """
    graph = Graph(model)
    new = {}
    for softmax in graph.proto.node:
        if softmax.op_type == "Softmax" and (attention := _attention(graph, softmax)):
            query, key, value, scale, out = attention
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
    """The value that was reshaped to (B, S, heads, size) and transposed into `name`."""
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
