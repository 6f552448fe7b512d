"""A small builder of convolutional networks as ONNX graphs, weights kept apart from structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
SIZE = 224

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Network:
    """A network without its weights: nodes in order, and the shape of every tensor they need.

    ``filled``: value that a seeded vector starts from. ``carried``: for a seeded convolution that
    passes its input on, the share of noise in it and its stride (see ``engine.models.weights``).

    Input ``input`` float32 [n, 3, 224, 224]; outputs ``logits`` float32 [n, classes] and
    ``classes`` int64 [n], the index of the largest logit.
    """

    name: str
    classes: int
    nodes: tuple[NodeProto, ...]
    shapes: Mapping[str, tuple[int, ...]]
    constants: Weights
    features: str
    filled: Mapping[str, float]
    carried: Mapping[str, tuple[float, int]]

    def model(self, weights: Weights) -> ModelProto:
        """The network with ``weights`` (one array for each name in ``shapes``)."""
        values = {name: weights[name] for name in self.shapes} | dict(self.constants)
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", self.classes]),
                helper.make_tensor_value_info("classes", TensorProto.INT64, ["batch"]),
            ],
            [numpy_helper.from_array(value, name) for name, value in values.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="tailbound"
        )


@dataclass
class Builder:
    """Appends layers to a graph; each method takes and returns the name of a tensor."""

    epsilon: float
    nodes: list[NodeProto] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    filled: dict[str, float] = field(default_factory=dict)
    carried: dict[str, tuple[float, int]] = field(default_factory=dict)

    def conv(
        self,
        x: str,
        name: str,
        shape: tuple[int, int, int],
        stride: int = 1,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        group: int = 1,
        carry: float | None = None,
    ) -> str:
        """A convolution without bias; ``shape``: outputs, inputs, kernel; ``pads``: top, left,
        bottom, right."""
        outputs, inputs, kernel = shape
        if carry is not None:
            self.carried[f"{name}.weight"] = (carry, stride)
        self.shapes[f"{name}.weight"] = (outputs, inputs // group, kernel, kernel)
        return self._add(
            "Conv",
            name,
            [x, f"{name}.weight"],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=list(pads),
            group=group,
        )

    def batch_norm(
        self, x: str, name: str, channels: int, scale: float = 1.0, shift: float = 0.0
    ) -> str:
        """Normalisation by stored statistics; a seeded one starts from ``scale`` and ``shift``."""
        names = [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        self.shapes |= dict.fromkeys(names, (channels,))
        self.filled |= zip(names, (scale, shift, 0.0, 1.0), strict=True)
        return self._add("BatchNormalization", name, [x, *names], epsilon=self.epsilon)

    def relu(self, x: str) -> str:
        """max(x, 0)."""
        return self._add("Relu", f"{x}.relu", [x])

    def relu6(self, x: str) -> str:
        """x limited to 0 ... 6."""
        self.constants |= {"zero": np.zeros((), np.float32), "six": np.full((), 6, np.float32)}
        return self._add("Clip", f"{x}.relu6", [x, "zero", "six"])

    def add(self, x: str, y: str, name: str) -> str:
        """Elementwise sum."""
        return self._add("Add", name, [x, y])

    def max_pool(self, x: str, name: str, kernel: int, stride: int, pad: int) -> str:
        """Largest value of each window."""
        return self._add(
            "MaxPool",
            name,
            [x],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def classify(self, x: str, name: str, channels: int, classes: int) -> Network:
        """Global average, fully connected layer ``fc`` and arg max: the network is complete."""
        pooled = self._add("GlobalAveragePool", "pool", [x])
        features = self._add("Flatten", "features", [pooled], axis=1)
        self.shapes |= {"fc.weight": (classes, channels), "fc.bias": (classes,)}
        self.filled["fc.bias"] = 0.0
        inputs = [features, "fc.weight", "fc.bias"]
        self.nodes.append(helper.make_node("Gemm", inputs, ["logits"], "fc", transB=1))
        self.nodes.append(
            helper.make_node("ArgMax", ["logits"], ["classes"], "argmax", axis=1, keepdims=0)
        )
        return Network(
            name=name,
            classes=classes,
            nodes=tuple(self.nodes),
            shapes=self.shapes,
            constants=self.constants,
            features=features,
            filled=self.filled,
            carried=self.carried,
        )

    def _add(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name
