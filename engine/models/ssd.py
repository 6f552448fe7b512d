"""The detector on top of a backbone (SSD, Liu et al., arXiv:1512.02325): default boxes, heads,
decoding and non-maximum suppression, all inside the graph.

Its one output ``detections`` is float32 [n, 100, 7], the best first. A row is

    [image, ymin, xmin, ymax, xmax, score, category]

with the number of the image as the input ``image`` (float32 [n]) gave it, corners as shares of
the image's height and width, and COCO's category id. Rows of zeros but for their image hold
nothing. Seven float32 a detection is also the encoding of the suite's accuracy logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.models.graph import Builder, Network, image_input

DETECTIONS = 100
"""How many detections an image can have: as many as COCO's evaluation looks at."""

CENTRE_SCALE, SIZE_SCALE = 0.1, 0.2
"""Units of the heads' offsets, in sides of the default box."""

SILENT = -8.0
"""A class's logit where a head knows nothing: below every threshold, and not so far below that
8 bits would have to reach there."""


@dataclass(frozen=True)
class Level:
    """A feature map that objects are looked for on: the tensor ``feature`` [n, channels, ...].

    ``boxes``: height and width of a cell's default boxes, as shares of the image's.
    ``kernel``, ``stride``: of the heads, which see ``grid`` x ``grid`` cells.
    """

    feature: str
    channels: int
    grid: int
    boxes: tuple[tuple[float, float], ...]
    kernel: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Detector:
    """A network with a detector, before and after it is one graph.

    ``categories``: COCO's category id of each class index after 0, the background.
    ``activation``: Sigmoid (each class by itself) or Softmax (over all of them).
    ``score_threshold``, ``overlap``: of the non-maximum suppression, the latter an IoU.
    """

    levels: tuple[Level, ...]
    categories: tuple[int, ...]
    activation: str
    score_threshold: float
    overlap: float


def head(number: int, kind: str) -> str:
    """Name of the convolution that predicts ``classes`` or ``boxes`` on a level."""
    return f"heads.{number}.{kind}"


def default_boxes(levels: Sequence[Level]) -> NDArray[np.float32]:
    """float32 [4, N]: centre y, centre x, height and width, level by level, the cells of one
    default box after the other."""
    parts = []
    for level in levels:
        axis = (np.arange(level.grid) + 0.5) / level.grid
        y, x = (plane.ravel() for plane in np.meshgrid(axis, axis, indexing="ij"))
        parts += [np.stack([y, x, 0 * y + height, 0 * x + width]) for height, width in level.boxes]
    return np.concatenate(parts, axis=1).astype(np.float32)


def detect(b: Builder, detector: Detector, name: str, size: int) -> Network:
    """Heads on every level, and the way from their answers to detections.

    Channel ``c * boxes + d`` of a head holds class (or coordinate) c of default box d.
    """
    logits = _predictions(b, detector.levels, "classes", len(detector.categories) + 1)
    offsets = _predictions(b, detector.levels, "boxes", 4)
    anchors = default_boxes(detector.levels)
    boxes = _decoded(b, offsets, anchors)
    scores = _scores(b, logits, detector.activation)
    score, place = _suppressed(b, boxes, scores, detector)
    response = _rows(b, boxes, score, place, anchors.shape[1], detector.categories)
    inputs = [
        image_input(size),
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch"]),
    ]
    shape: list[str | int | None] = ["batch", DETECTIONS, 7]
    outputs = [helper.make_tensor_value_info(response, TensorProto.FLOAT, shape)]
    features = [level.feature for level in detector.levels]
    return b.network(name, inputs, outputs, response, features)


def _predictions(b: Builder, levels: Sequence[Level], kind: str, values: int) -> str:
    """One kind of heads on all levels: [n, values, N]."""
    parts = []
    for number, level in enumerate(levels):
        name = head(number, kind)
        shape = (values * len(level.boxes), level.channels, level.kernel)
        around = level.kernel // 2
        bias = SILENT if kind == "classes" else 0.0
        x = b.conv(level.feature, name, shape, level.stride, (around,) * 4, bias=bias)
        b.filled[f"{name}.weight"] = 0.0
        flat = b.constant(f"{name}.shape", [0, values, -1], np.int64)
        parts.append(b.node("Reshape", f"{name}.flat", [x, flat]))
    return b.node("Concat", kind, parts, axis=2)


def _decoded(b: Builder, offsets: str, anchors: NDArray[np.float32]) -> str:
    """Offsets [n, 4, N] from the default boxes to corners [n, N, 4], inside the image."""
    centres = b.constant("default.centres", anchors[None, :2])
    sizes = b.constant("default.sizes", anchors[None, 2:])
    halves = b.constant("halves", [2, 2], np.int64)
    parts = ["offsets.centre", "offsets.size"]
    b.nodes.append(helper.make_node("Split", [offsets, halves], parts, "split", axis=1))
    centre = b.node("Mul", "shift.scaled", [parts[0], b.constant("centre_scale", CENTRE_SCALE)])
    centre = b.add(b.node("Mul", "shift", [centre, sizes]), centres, "centre")
    size = b.node("Mul", "growth.scaled", [parts[1], b.constant("size_scale", SIZE_SCALE)])
    size = b.node("Mul", "size", [b.node("Exp", "growth", [size]), sizes])
    reach = b.node("Mul", "reach", [size, b.constant("half", 0.5)])
    corners = [b.node("Sub", "top_left", [centre, reach]), b.add(centre, reach, "bottom_right")]
    boxes = b.node("Concat", "corners", corners, axis=1)
    limits = [b.constant("edge.low", 0.0), b.constant("edge.high", 1.0)]
    boxes = b.node("Clip", "corners.inside", [boxes, *limits])
    return b.node("Transpose", "corners.by_box", [boxes], perm=[0, 2, 1])


def _scores(b: Builder, logits: str, activation: str) -> str:
    """Logits [n, C, N] to the scores of the classes that are objects: [n, C - 1, N]."""
    axis = {"axis": 1} if activation == "Softmax" else {}
    scores = b.node(activation, "scores.all", [logits], **axis)
    first, last = b.constant("first", [1], np.int64), b.constant("last", [2**31], np.int64)
    return b.node("Slice", "scores.objects", [scores, first, last, first])


def _suppressed(b: Builder, boxes: str, scores: str, detector: Detector) -> tuple[str, str]:
    """Score and place in [C - 1, N] of the best boxes, those of a class not overlapping."""
    limits = [
        b.constant("most", [DETECTIONS], np.int64),
        b.constant("overlap", [detector.overlap]),
        b.constant("score_threshold", [detector.score_threshold]),
    ]
    kept = b.node("NonMaxSuppression", "kept", [boxes, scores, *limits])
    values = b.node("GatherND", "kept.scores", [scores, kept])
    nothing = b.node("ConstantOfShape", "nothing", [b.node("Shape", "scores.shape", [scores])])
    scattered = b.node("ScatterND", "scores.kept", [nothing, kept, values])
    flat = b.constant("flat", [0, -1], np.int64)
    flat_scores = b.node("Reshape", "scores.flat", [scattered, flat])
    best = ("score", "place")
    b.nodes.append(helper.make_node("TopK", [flat_scores, limits[0]], best, "best", axis=1))
    return best


def _rows(
    b: Builder, boxes: str, score: str, place: str, count: int, categories: Sequence[int]
) -> str:
    """Rows of the output, zeros but for their image where the score is zero."""
    n = b.constant("box_count", count, np.int64)
    last = b.constant("last_axis", [-1], np.int64)
    box = b.node("Unsqueeze", "box", [b.node("Mod", "box.index", [place, n]), last])
    corners = b.node("GatherND", "box.corners", [boxes, box], batch_dims=1)
    ids = b.constant("categories", categories)
    category = b.node("Gather", "category", [ids, b.node("Div", "class.index", [place, n])])
    column = [b.node("Unsqueeze", f"{x}.column", [x, last]) for x in (score, category)]
    found = b.node("Concat", "found", [corners, *column], axis=2)
    some = b.node("Greater", "some", [column[0], b.constant("none", 0.0)])
    found = b.node("Where", "found.only", [some, found, "none"])
    image = b.node("Unsqueeze", "image.column", ["image", b.constant("axes", [1, 2], np.int64)])
    shape = b.node("Shape", "column.shape", [column[0]])
    image = b.node("Expand", "image.repeated", [image, shape])
    return b.node("Concat", "detections", [image, found], axis=2)
