"""A network read from its ONNX file as the few fused layers that the device runs.

Batch normalisation is folded into the convolution before it; activation and sum become part of
the convolution that they follow. Quantisation (QDQ) is read as each tensor's range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.detector import Detections, ending
from sut.cupy.layers import (
    Average,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    shapes_of,
    with_halves,
)
from sut.normalisation import EPSILON, folded


@dataclass(frozen=True)
class Network:
    """Layers in the order they run, each named by the tensor that it makes.

    ``image``: channels, height and width of the input. ``response``: the layer whose largest
    value's place answers a sample, or the detections. ``ranges``: lowest and highest value of the
    tensors of a quantised network, none for one in floating point. ``shapes``: channels, height and
    width. ``half``: fp16 or bf16, what a tensor without a range is stored in.
    """

    input: str
    image: tuple[int, int, int]
    layers: tuple[Layer, ...]
    response: str
    ranges: Mapping[str, tuple[float, float]]
    shapes: Mapping[str, tuple[int, int, int]]
    half: str = "fp16"

    @property
    def detections(self) -> Detections | None:
        """The last layer of a detector."""
        last = self.layers[-1]
        return last if isinstance(last, Detections) else None

    def is_head(self, name: str) -> bool:
        """Whether detections are made of the tensor, which stays in single precision."""
        return self.detections is not None and name in self.detections.sources

    @property
    def parameter_count(self) -> int:
        """Weights and biases after folding."""
        own = [x for x in self.layers if isinstance(x, Convolution | Dense)]
        return sum(layer.weights.size + layer.bias.size for layer in own)


def network_of(graph: Any, output: str) -> Network:
    """The network of an ONNX graph whose output ``output`` is the answer: int64 [n], or float32
    [n, most, 7] of a detector.

    Raises RuntimeError, with its name, for the first node that the device has no layer for.
    """
    reader = _Reader(graph)
    for node in graph.node:
        reader.add(node)
    return reader.network(output)


PASSING = ("QuantizeLinear", "DequantizeLinear", "Flatten", "Identity")
"""Nodes after which a tensor counts as the same one."""


class _Reader:
    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        detector = ending(graph)
        self._detections = detector[0] if detector else None
        self._after = detector[1] if detector else frozenset()
        self._input, self._image = _image(graph, self._constants, 2 if detector else 1)
        self._layers: dict[str, Layer] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._best: dict[str, str] = {}
        self._passed = {n.output[0]: n.input[0] for n in graph.node if n.op_type in PASSING}
        working = [n for n in graph.node if n.op_type not in PASSING and not self._ends(n)]
        self._uses = Counter(self._root(name) for node in working for name in node.input)

    def add(self, node: Any) -> None:
        """Make ``node`` a layer of its own or a part of one before it."""
        if self._ends(node):
            return
        own = getattr(self, f"_on_{node.op_type.lower()}", None)
        if own is None or not own(node, _attributes(node)):
            raise RuntimeError(
                f"sut=cupy has no layer for {node.op_type} as node {node.name or node.output[0]} "
                "uses it. Use sut=onnxruntime for this network."
            )

    def network(self, output: str) -> Network:
        """What has been read."""
        if self._detections is not None:
            self._append(self._detections)
            self._best[self._detections.name] = self._detections.name
        if output not in self._best:
            raise RuntimeError(
                f"sut=cupy answers with the best class: the output {output} is no ArgMax. Set "
                f"model.output to one of: {', '.join(self._best) or 'none in this network'}."
            )
        layers = tuple(self._layers.values())
        best = self._best[output]
        ranges = {name: (low, high) for name, (low, high) in self._ranges.items() if low < high}
        for layer in layers:  # a pool passes its numbers on: one range on both sides
            if isinstance(layer, MaxPool) and (own := ranges.get(layer.name)):
                ranges[layer.name] = ranges.setdefault(layer.source, own)
        if self._detections is not None:
            layers = with_halves(layers, self._detections.sources, ranges)
        shapes = shapes_of(self._input, self._image, layers)
        return Network(self._input, self._image, layers, best, ranges, shapes)

    def _ends(self, node: Any) -> bool:
        """Whether it is part of the detections."""
        return bool(self._after.intersection(node.output))

    def _root(self, name: str) -> str:
        while name in self._passed:
            name = self._passed[name]
        return name

    def _constant(self, name: str) -> NDArray[Any] | None:
        return self._constants.get(name)

    def _only(self, name: str) -> Convolution | None:
        """The convolution that made ``name``, if one node alone needs it and it can take more."""
        layer = self._layers.get(self._root(name))
        free = isinstance(layer, Convolution) and layer.low is None and layer.high is None
        return layer if free and self._uses[self._root(name)] == 1 else None  # type: ignore[return-value]

    def _append(self, layer: Layer) -> bool:
        self._layers[layer.name] = layer
        return True

    def _extend(self, old: Convolution, node: Any, **changes: Any) -> bool:
        """``old`` now makes what ``node`` does, and runs in its place."""
        del self._layers[old.name]
        before = self._ranges.pop(old.name, None)
        new = replace(old, name=node.output[0], **changes)
        if before and new.low is not None:  # an activation: what it leaves of the range
            highest = before[1] if new.high is None else min(before[1], new.high)
            self._ranges[new.name] = (max(before[0], new.low), highest)
        return self._append(new)

    def _on_conv(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        weights = self._constant(node.input[1])
        strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
        plain = attributes.get("auto_pad", "NOTSET") == "NOTSET"
        if weights is None or not plain or weights.ndim != 4 or strides[0] != strides[1]:
            return False
        if set(attributes.get("dilations", [1])) != {1}:
            return False
        bias = self._constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(weights))
        group = attributes.get("group", 1)
        if bias is None or group not in (1, len(weights)) or (group > 1 and weights.shape[1] > 1):
            return False
        layer = Convolution(
            node.output[0],
            self._root(node.input[0]),
            weights.astype(np.float32),
            bias.astype(np.float32),
            strides[0],
            (pads[0], pads[1], pads[2], pads[3]),
            group,
        )
        return self._append(layer)

    def _on_batchnormalization(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        own = self._only(node.input[0])
        parts = tuple(self._constants[name] for name in node.input[1:5] if name in self._constants)
        if own is None or own.residual or len(parts) < 4:
            return False
        epsilon = attributes.get("epsilon", EPSILON)
        weights, bias = folded(own.weights, own.bias, parts, epsilon)
        return self._extend(own, node, weights=weights, bias=bias)

    def _on_relu(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        own = self._only(node.input[0])
        return own is not None and self._extend(own, node, low=0.0)

    def _on_clip(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        own = self._only(node.input[0])
        limits = [self._constant(name) for name in node.input[1:]]
        if own is None or len(limits) != 2 or any(limit is None for limit in limits):
            return False
        low, high = (float(np.asarray(limit)) for limit in limits)
        return self._extend(own, node, low=low, high=high)

    def _on_add(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        for last, other in (reversed(node.input), node.input):
            own, residual = self._only(last), self._root(other)
            if own and not own.residual and residual in self._layers:
                return self._extend(own, node, residual=residual)
        return False

    def _on_maxpool(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        pads = attributes.get("pads", [0] * 4)
        square = len(kernel) == 2 and kernel[0] == kernel[1] and strides[0] == strides[1]
        plain = attributes.get("auto_pad", "NOTSET") == "NOTSET"
        if not square or not plain or attributes.get("ceil_mode"):
            return False
        around = (pads[0], pads[1], pads[2], pads[3])
        source = self._root(node.input[0])
        return self._append(MaxPool(node.output[0], source, kernel[0], strides[0], around))

    def _on_globalaveragepool(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        return self._append(Average(node.output[0], self._root(node.input[0])))

    def _on_gemm(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        weights, bias = (self._constant(name) for name in node.input[1:3])
        scaled = attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1
        if weights is None or bias is None or attributes.get("transA") or scaled:
            return False
        matrix = weights if attributes.get("transB") else weights.T
        layer = Dense(
            node.output[0],
            self._root(node.input[0]),
            np.ascontiguousarray(matrix, np.float32),
            bias.astype(np.float32),
        )
        return self._append(layer)

    def _on_argmax(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        source = self._root(node.input[0])
        fits = attributes.get("axis", 0) in (1, -1) and not attributes.get("keepdims", 1)
        self._best[node.output[0]] = source
        return fits and isinstance(self._layers.get(source), Dense)

    def _hold(self, node: Any, value: NDArray[Any]) -> bool:
        self._constants[node.output[0]] = value
        return True

    def _on_constant(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        return self._hold(node, attributes["value"])

    def _on_identity(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        return True

    def _on_flatten(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        return isinstance(self._layers.get(self._root(node.input[0])), Average)

    def _on_quantizelinear(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        scale, zero = self._scale(node)
        values, name = self._constant(node.input[0]), self._root(node.input[0])
        limits = np.iinfo(zero.dtype)
        if values is not None:
            raw = np.rint(values / _along(scale, values, attributes)) + zero
            return self._hold(node, np.clip(raw, limits.min, limits.max).astype(zero.dtype))
        lowest, highest = ((x - float(zero)) * float(scale) for x in (limits.min, limits.max))
        self._ranges[name] = (lowest, highest)
        layer = self._layers.get(name)
        if lowest == 0 and isinstance(layer, Convolution) and layer.low is None:
            self._layers[name] = replace(layer, low=0.0)  # the activation has become the range
        return True

    def _on_dequantizelinear(self, node: Any, attributes: Mapping[str, Any]) -> bool:
        values = self._constant(node.input[0])
        if values is None:
            return True
        scale, zero = self._scale(node)
        whole = values.astype(np.float32) - _along(zero.astype(np.float32), values, attributes)
        return self._hold(node, whole * _along(scale, values, attributes))

    def _scale(self, node: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scale and zero point."""
        scale = np.asarray(self._constants[node.input[1]])
        zero = self._constants[node.input[2]] if len(node.input) > 2 else np.zeros((), np.uint8)
        return scale, np.asarray(zero)


def _along(per_channel: NDArray[Any], values: NDArray[Any], attributes: Mapping[str, Any]) -> Any:
    """A scale or zero point in the shape that broadcasts against ``values``."""
    if per_channel.ndim == 0 or per_channel.size == 1:
        return per_channel.reshape(())
    shape = [1] * values.ndim
    shape[attributes.get("axis", 1) if values.ndim > 1 else 0] = -1
    return per_channel.reshape(shape)


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper, numpy_helper

    found = {x.name: helper.get_attribute_value(x) for x in node.attribute}
    if node.op_type == "Constant" and "value" in found:
        found["value"] = numpy_helper.to_array(found["value"])
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def _image(graph: Any, constants: Mapping[str, Any], most: int) -> tuple[str, tuple[int, int, int]]:
    """Name of the first of up to ``most`` inputs, and its channels, height and width."""
    inputs = [x for x in graph.input if x.name not in constants]
    dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
    if len(inputs) > most or len(dims) != 4 or dims[1] != 3 or not all(dims[1:]):
        raise RuntimeError(
            "sut=cupy runs networks over images [batch, 3, height, width]. This network "
            f"has {', '.join(x.name for x in inputs)}, the first {dims}. Use sut=onnxruntime."
        )
    return inputs[0].name, (dims[1], dims[2], dims[3])
