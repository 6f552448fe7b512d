"""Patterns of nodes, and whether an ONNX graph computes them: how a network's parts are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pattern = str | tuple[Any, ...]
"""What makes a tensor: ``(op, input, ...)``, each input a pattern again. ``"=name"``: a constant,
kept by that name; ``">name"``: any tensor, whose name is kept, and the same one wherever the name
comes again; ``"*"``: anything."""


class Graph:
    """An ONNX graph and those within it, and what patterns have found: ``constants``, ``tensors``.

    ``what``: the kind of network that it should be, for the message.
    """

    def __init__(self, graphs: Sequence[Any], what: str) -> None:
        from onnx import helper, numpy_helper

        self.constants: dict[str, NDArray[Any]] = {}
        self.tensors: dict[str, str] = {}
        self._what = what
        self._values: dict[str, NDArray[Any]] = {}
        self._makers: dict[str, Any] = {}
        for graph in graphs:
            self._values |= {x.name: numpy_helper.to_array(x) for x in graph.initializer}
            for node in graph.node:
                self._makers |= {name: node for name in node.output if name}
                if node.op_type == "Constant" and node.attribute[0].name == "value":
                    self._values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._attribute_of = helper.get_attribute_value

    def find(self, name: str, pattern: Pattern) -> None:
        """Follow what makes the tensor ``name``; RuntimeError, with the node, if that differs."""
        if isinstance(pattern, tuple):
            node = self.maker(name, pattern[0])
            self.want(len(node.input) == len(pattern) - 1, node.output[0])
            for source, inner in zip(node.input, pattern[1:], strict=True):
                self.find(source, inner)
        elif pattern.startswith("="):
            self.want(name in self._values, name)
            value, key = self._values[name], pattern[1:]
            self.want(np.array_equal(self.constants.setdefault(key, value), value), name)
        elif pattern.startswith(">"):
            self.want(self.tensors.setdefault(pattern[1:], name) == name, name)

    def maker(self, name: str, kind: str) -> Any:
        """The node that makes ``name``, of that kind."""
        node = self._makers.get(name)
        self.want(node is not None and node.op_type == kind, name)
        return node

    def is_made_by(self, name: str, kind: str) -> bool:
        """Whether such a node makes ``name``."""
        return name in self._makers and bool(self._makers[name].op_type == kind)

    def value(self, name: str) -> NDArray[Any]:
        """The constant ``name``."""
        self.want(name in self._values, name)
        return self._values[name]

    def attributes(self, node: Any) -> dict[str, Any]:
        """By name."""
        found = {x.name: self._attribute_of(x) for x in node.attribute}
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}

    def want(self, holds: bool, name: str) -> None:
        """Raise RuntimeError, with the node that makes ``name``, unless that holds."""
        if holds:
            return
        node = self._makers.get(name)
        where = f"tensor {name}" if node is None else f"node {node.name or name} ({node.op_type})"
        raise RuntimeError(
            f"sut=cupy runs {self._what}, and {where} is not as it has it. Use sut=onnxruntime "
            "for this network."
        )
