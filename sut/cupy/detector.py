"""The end of a detector's ONNX file read as one layer: from its heads to its detections.

It is known by its non-maximum suppression. What leads there and from there is followed node by
node, and refused with the node's name where it computes something else than an SSD does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """Rows [image, top, left, bottom, right, score, category], the ``most`` best, in ``name``.

    ``classes``, ``boxes``: the convolutions that answer for each level. ``anchors``: float32
    [4, N], centre y and x, height and width of the default boxes, whose offsets are in units of
    ``centre_scale`` and ``size_scale``. ``softmax``: over all classes, else each class's sigmoid.
    ``threshold``, ``overlap``: of the non-maximum suppression, the latter an IoU.
    ``categories``: float32, the number of each class after the background.
    """

    name: str
    classes: tuple[str, ...]
    boxes: tuple[str, ...]
    anchors: Floats
    centre_scale: float
    size_scale: float
    softmax: bool
    threshold: float
    overlap: float
    most: int
    categories: Floats

    @property
    def source(self) -> str:
        """The first of ``sources``."""
        return self.classes[0]

    @property
    def sources(self) -> tuple[str, ...]:
        """All tensors that it reads."""
        return (*self.classes, *self.boxes)

    @property
    def workspace(self) -> dict[str, int]:
        """Bytes for one image of each array that lies between the heads and the rows."""
        labels, boxes = len(self.categories), self.anchors.shape[1]
        return {
            "scores": 4 * labels * boxes,
            "candidates": 4 * labels * boxes,
            "corners": 16 * boxes,
            "kept_scores": 4 * labels * self.most,
            "kept_places": 4 * labels * self.most,
        }


def ending(graph: Any) -> tuple[Detections, frozenset[str]] | None:
    """The detections of an ONNX graph, and the names of all tensors made after the heads.

    None if it is no detector. Raises RuntimeError for one whose end is none of an SSD.
    """
    nodes = [n for n in graph.node if n.op_type == "NonMaxSuppression"]
    if not nodes:
        return None
    if len(nodes) > 1:
        raise RuntimeError("sut=cupy runs detectors with one NonMaxSuppression; this has several.")
    walk = _Walk(graph)
    found = walk.detections(nodes[0])
    made: set[str] = {graph.input[1].name} if len(graph.input) > 1 else set()
    heads = set(found.sources)
    for node in graph.node:
        if (made | heads).intersection(node.input):
            made.update(node.output)
    return found, frozenset(made)


class _Walk:
    def __init__(self, graph: Any) -> None:
        from onnx import helper, numpy_helper

        self._constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        self._maker = {name: node for node in graph.node for name in node.output}
        self._nodes = list(graph.node)
        self._outputs = [x.name for x in graph.output]
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._attributes = {
            n.output[0]: {a.name: helper.get_attribute_value(a) for a in n.attribute}
            for n in graph.node
        }

    def detections(self, nms: Any) -> Detections:
        boxes, scores, *limits = nms.input
        most, overlap, threshold = (float(self._constant(x, nms).reshape(())) for x in limits)
        self._want(not self._attributes[nms.output[0]].get("center_point_box"), nms)
        objects = self._before(scores, "Slice", nms)
        starts, ends, axes = (self._constant(x, objects) for x in objects.input[1:4])
        self._want((starts.item(), axes.item()) == (1, 1) and ends.item() >= 2**31 - 1, objects)
        activation = self._before(objects.input[0], ("Sigmoid", "Softmax"), objects)
        softmax = activation.op_type == "Softmax"
        axis = self._attributes[activation.output[0]].get("axis", -1)
        self._want(not softmax or axis == 1, activation)
        offsets, anchors, centre_scale, size_scale = self._decoding(boxes, nms)
        categories = self._categories(nms)
        self._want(anchors.shape[1] > 0, nms)
        return Detections(
            self._outputs[0],
            self._heads(activation.input[0], activation),
            self._heads(offsets.input[0], offsets),
            anchors,
            centre_scale,
            size_scale,
            softmax,
            threshold,
            overlap,
            int(most),
            categories,
        )

    def _decoding(self, boxes: str, nms: Any) -> tuple[Any, Floats, float, float]:
        """The node that splits the offsets, the default boxes, and the units of the offsets."""
        turned = self._before(boxes, "Transpose", nms)
        self._want(list(self._attributes[turned.output[0]]["perm"]) == [0, 2, 1], turned)
        clip = self._before(turned.input[0], "Clip", turned)
        self._want([self._constant(x, clip).item() for x in clip.input[1:]] == [0, 1], clip)
        corners = self._before(clip.input[0], "Concat", clip)
        low = self._before(corners.input[0], "Sub", corners)
        high = self._before(corners.input[1], "Add", corners)
        self._want(list(low.input) == list(high.input), high)
        reach = self._before(low.input[1], "Mul", low)
        self._want(self._constant(reach.input[1], reach).item() == 0.5, reach)
        size = self._before(reach.input[0], "Mul", reach)
        growth = self._before(size.input[0], "Exp", size)
        in_units = self._before(growth.input[0], "Mul", growth)
        centre = self._before(low.input[0], "Add", low)
        shift = self._before(centre.input[0], "Mul", centre)
        scaled = self._before(shift.input[0], "Mul", shift)
        split = self._before(scaled.input[0], "Split", scaled)
        self._want(list(split.output) == [scaled.input[0], in_units.input[0]], split)
        sizes, again = (self._constant(x, size) for x in (size.input[1], shift.input[1]))
        self._want(np.array_equal(sizes, again), shift)
        centres = self._constant(centre.input[1], centre)
        anchors = np.concatenate([centres[0], sizes[0]]).astype(np.float32)
        units = [float(self._constant(n.input[1], n).item()) for n in (scaled, in_units)]
        return split, np.ascontiguousarray(anchors), units[0], units[1]

    def _heads(self, joined: str, after: Any) -> tuple[str, ...]:
        concat = self._before(joined, "Concat", after)
        self._want(self._attributes[concat.output[0]]["axis"] == 2, concat)
        found = []
        for part in concat.input:
            reshape = self._before(part, "Reshape", concat)
            shape = self._constant(reshape.input[1], reshape)
            self._want(len(shape) == 3 and shape[0] == 0 and shape[2] == -1, reshape)
            found.append(self._before(reshape.input[0], "Conv", reshape).output[0])
        return tuple(found)

    def _categories(self, nms: Any) -> Floats:
        """What the places of the best scores, divided by the number of boxes, are looked up in."""
        self._want(len(self._outputs) == 1, nms)
        for node in self._nodes:
            index = self._maker.get(node.input[1]) if node.op_type == "Gather" else None
            if index is not None and index.op_type == "Div":
                self._before(index.input[0], "TopK", index)
                return self._constant(node.input[0], node).astype(np.float32)
        raise self._unknown(nms)

    def _before(self, name: str, kind: str | tuple[str, ...], after: Any) -> Any:
        node = self._maker.get(name)
        if node is None or node.op_type not in ((kind,) if isinstance(kind, str) else kind):
            raise self._unknown(after)
        return node

    def _constant(self, name: str, node: Any) -> NDArray[Any]:
        if name not in self._constants:
            raise self._unknown(node)
        return self._constants[name]

    def _want(self, holds: bool, node: Any) -> None:
        if not holds:
            raise self._unknown(node)

    @staticmethod
    def _unknown(node: Any) -> RuntimeError:
        return RuntimeError(
            f"sut=cupy runs detectors that end as an SSD does, and node "
            f"{node.name or node.output[0]} ({node.op_type}) does not. Use sut=onnxruntime for "
            "this network."
        )


def level_firsts(layer: Detections, shapes: Mapping[str, tuple[int, int, int]]) -> list[int]:
    """The number of each level's first default box, and of all at the end."""
    firsts = [0]
    for name in layer.boxes:
        channels, height, width = shapes[name]
        firsts.append(firsts[-1] + channels // 4 * height * width)
    return firsts
