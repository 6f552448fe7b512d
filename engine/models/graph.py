"""A small builder of convolutional networks as ONNX graphs, weights kept apart from structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Weights = Mapping[str, NDArray[np.float32]]
Drawn = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Factor of a seeded tensor's noise, and what is added to it."""


@dataclass(frozen=True)
class Network:
    """A network without its weights: nodes in order, and the shape of every tensor they need.

    ``name``: its kind, with width, depth and size where they are not the reference network's.
    ``inputs`` and ``outputs``: as ONNX describes them, the image first; ``response``: the output
    that answers a sample. ``features``: the tensors that the last, fitted layers see.
    ``filled``: value that a seeded tensor is filled with. ``carried``: for a seeded convolution
    that passes its input on, the share of noise in it and its stride (``engine.models.weights``).
    ``drawn``: how other seeded tensors are drawn.
    """

    name: str
    inputs: tuple[ValueInfoProto, ...]
    outputs: tuple[ValueInfoProto, ...]
    response: str
    nodes: tuple[NodeProto, ...]
    shapes: Mapping[str, tuple[int, ...]]
    constants: Weights
    features: tuple[str, ...]
    filled: Mapping[str, float]
    carried: Mapping[str, tuple[float, int]]
    drawn: Mapping[str, Drawn] = field(default_factory=dict)

    @property
    def variances(self) -> list[str]:
        """The tensors that hold the variances of batch norms."""
        return [node.input[4] for node in self.nodes if node.op_type == "BatchNormalization"]

    def model(self, weights: Weights) -> ModelProto:
        """The network with ``weights`` (one array for each name in ``shapes``)."""
        values = {name: weights[name] for name in self.shapes} | dict(self.constants)
        graph = helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            [numpy_helper.from_array(value, name) for name, value in values.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="tailbound"
        )


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, a multiple of eight, as convolutions like it."""
    return max(8, round(channels * width / 8) * 8)


def repeated(blocks: int, depth: float) -> int:
    """How many of ``blocks`` alike a version of that ``depth`` has: one at least."""
    return max(1, round(blocks * depth))


def same(side: int, stride: int) -> tuple[tuple[int, int, int, int], int]:
    """TensorFlow's SAME padding of a 3x3 kernel on a side, and the side that comes out.

    An even side with stride 2 is padded only below and right.
    """
    out = -(-side // stride)
    total = max(0, (out - 1) * stride + 3 - side)
    return (total // 2, total // 2, total - total // 2, total - total // 2), out


def image_input(size: int) -> ValueInfoProto:
    """Input ``input``: preprocessed images, float32 [batch, 3, size, size]."""
    return helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, size, size])


@dataclass
class Builder:
    """Appends layers to a graph; each method takes and returns the name of a tensor."""

    epsilon: float
    nodes: list[NodeProto] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    filled: dict[str, float] = field(default_factory=dict)
    carried: dict[str, tuple[float, int]] = field(default_factory=dict)
    drawn: dict[str, Drawn] = field(default_factory=dict)

    def conv(
        self,
        x: str,
        name: str,
        shape: tuple[int, int, int],
        stride: int = 1,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        group: int = 1,
        carry: float | None = None,
        bias: float | None = None,
    ) -> str:
        """A convolution; ``shape``: outputs, inputs, kernel; ``pads``: top, left, bottom, right.

        ``bias``: what a seeded bias is filled with, None for a convolution without one.
        """
        outputs, inputs, kernel = shape
        if carry is not None:
            self.carried[f"{name}.weight"] = (carry, stride)
        self.shapes[f"{name}.weight"] = (outputs, inputs // group, kernel, kernel)
        names = [f"{name}.weight"]
        if bias is not None:
            names.append(f"{name}.bias")
            self.shapes[f"{name}.bias"] = (outputs,)
            self.filled[f"{name}.bias"] = bias
        return self.node(
            "Conv",
            name,
            [x, *names],
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
        return self.node("BatchNormalization", name, [x, *names], epsilon=self.epsilon)

    def relu(self, x: str) -> str:
        """max(x, 0)."""
        return self.node("Relu", f"{x}.relu", [x])

    def relu6(self, x: str) -> str:
        """x limited to 0 ... 6."""
        self.constants |= {"zero": np.zeros((), np.float32), "six": np.full((), 6, np.float32)}
        return self.node("Clip", f"{x}.relu6", [x, "zero", "six"])

    def add(self, x: str, y: str, name: str) -> str:
        """Elementwise sum."""
        return self.node("Add", name, [x, y])

    def max_pool(self, x: str, name: str, kernel: int, stride: int, pad: int) -> str:
        """Largest value of each window."""
        return self.node(
            "MaxPool",
            name,
            [x],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def node(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Any operator with one output, which takes the operator's own name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """An array that belongs to the structure: it is no parameter and no checkpoint has it."""
        tensor = numpy_helper.from_array(np.asarray(value, dtype), name)
        return self.node("Constant", name, [], value=tensor)

    def network(
        self,
        name: str,
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        response: str,
        features: Sequence[str],
    ) -> Network:
        """What has been built so far as a whole network."""
        return Network(
            name=name,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            response=response,
            nodes=tuple(self.nodes),
            shapes=self.shapes,
            constants=self.constants,
            features=tuple(features),
            filled=self.filled,
            carried=self.carried,
            drawn=self.drawn,
        )
