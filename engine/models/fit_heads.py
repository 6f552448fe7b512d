"""A detector's heads by ridge regression: classes and box offsets of each kind of default box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.datasets.scenes import Object
from engine.models.ssd import (
    CENTRE_SCALE,
    SILENT,
    SIZE_SCALE,
    Detector,
    Level,
    default_boxes,
    head,
)

MATCHED = 0.5
"""From this overlap (IoU) on, a default box is to find the object."""

FEWEST = 200
"""A kind of default box that matched fewer objects stays silent."""

OBJECT_WEIGHT = 20.0
"""How much more a matched place counts than an empty one, of which there are many more."""

RIDGE = 0.01
LOGIT_SCALE = 12.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The objects of one image: float64 [k, 4] ymin, xmin, ymax, xmax as shares, int64 [k] ids."""

    corners: Floats
    categories: NDArray[np.int64]

    @staticmethod
    def of(objects: Sequence[Object], size: int) -> Truth:
        """The truth of a synthetic scene of ``size`` x ``size`` pixels."""
        left, top, width, height = np.array([o.box for o in objects], np.float64).T / size
        corners = np.stack([top, left, top + height, left + width], axis=1)
        return Truth(corners, np.array([o.category for o in objects], np.int64))


class Heads:
    """Gathers what the regressions need, image by image; ``solved`` gives the heads' weights.

    Only the classes that the data has are fitted: indices 0 (background) to ``classes - 1``.
    ``seen``: of each feature map only so many channels, the first ones, get weights.
    """

    def __init__(self, detector: Detector, classes: int, seen: int | None = None) -> None:
        self.levels = [_LevelSums(level, classes, seen) for level in detector.levels]
        ends = np.cumsum([level.grid**2 * len(level.boxes) for level in detector.levels])
        self._starts = ends[:-1]
        self._anchors = default_boxes(detector.levels).astype(np.float64)

    def see(self, maps: Sequence[NDArray[np.float32]], truths: Sequence[Truth]) -> None:
        """Take in a batch: one feature map [n, channels, side, side] a level, and the truths."""
        matched = np.stack([_matches(self._anchors, truth.corners) for truth in truths])
        parts = np.split(matched, self._starts, axis=1)
        anchors = np.split(self._anchors, self._starts, axis=1)
        for level, features, which, boxes in zip(self.levels, maps, parts, anchors, strict=True):
            level.see(features, which, boxes, truths)

    def solved(self) -> dict[str, NDArray[np.float32]]:
        """Weights and biases by tensor name; levels without enough objects have none."""
        found: dict[str, NDArray[np.float32]] = {}
        for number, level in enumerate(self.levels):
            if level.matched.max() < FEWEST:
                continue
            for kind, (rows, bias) in zip(("classes", "boxes"), level.solved(), strict=True):
                found[f"{head(number, kind)}.weight"] = rows
                found[f"{head(number, kind)}.bias"] = bias
        return found


class _LevelSums:
    """Second moments of one level's features (a 1 appended) with themselves and the targets."""

    def __init__(self, level: Level, classes: int, seen: int | None) -> None:
        self.level, self.classes = level, classes
        self.seen = min(seen or level.channels, level.channels)
        width, kinds = self.seen * level.kernel**2 + 1, len(level.boxes)
        self.all = np.zeros((width, width))
        self.objects = np.zeros((kinds, width, width))
        self.by_class = np.zeros((kinds, width, classes))
        self.offsets = np.zeros((kinds, width, 4))
        self.matched = np.zeros(kinds, np.int64)

    def see(
        self,
        features: NDArray[np.float32],
        which: NDArray[np.int64],
        anchors: Floats,
        truths: Sequence[Truth],
    ) -> None:
        """``which`` [n, boxes * cells]: the object that each default box is to find, or -1."""
        patches = np.stack([_patches(each, self.level) for each in features[:, : self.seen]])
        every = patches.reshape(-1, patches.shape[-1])
        self.all += every.T @ every
        cells = patches.shape[1]
        for kind in range(len(self.level.boxes)):
            here = slice(kind * cells, (kind + 1) * cells)
            image, cell = np.nonzero(which[:, here] >= 0)
            if not len(image):
                continue
            objects = which[:, here][image, cell]
            found = list(zip(image.tolist(), objects.tolist(), strict=True))
            corners = np.stack([truths[i].corners[k] for i, k in found])
            ones = np.eye(self.classes)[[truths[i].categories[k] for i, k in found]]
            x = patches[image, cell].astype(np.float64)
            self.objects[kind] += x.T @ x
            self.by_class[kind] += x.T @ ones
            self.offsets[kind] += x.T @ _encoded(anchors[:, here][:, cell], corners)
            self.matched[kind] += len(found)

    def solved(self) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
        kinds, level = len(self.level.boxes), self.level
        shape = (level.channels, level.kernel, level.kernel)
        seen = (-1, self.seen, level.kernel, level.kernel)
        classes = np.zeros((self.classes, kinds, *shape), np.float32)
        class_bias = np.full((self.classes, kinds), SILENT, np.float32)
        class_bias[0] = LOGIT_SCALE / 2
        boxes = np.zeros((4, kinds, *shape), np.float32)
        box_bias = np.zeros((4, kinds), np.float32)
        for kind in np.flatnonzero(self.matched >= FEWEST):
            extra = OBJECT_WEIGHT - 1
            gram = self.all + extra * self.objects[kind]
            wanted = OBJECT_WEIGHT * self.by_class[kind]
            # What is not an object is background, each place once.
            wanted[:, 0] = (self.all - self.objects[kind])[:, -1]
            weights = _ridge(gram, wanted) * LOGIT_SCALE
            classes[:, kind, : self.seen] = weights[:-1].T.reshape(seen)
            class_bias[:, kind] = weights[-1] - LOGIT_SCALE / 2
            weights = _ridge(self.objects[kind], self.offsets[kind])
            boxes[:, kind, : self.seen] = weights[:-1].T.reshape(seen)
            box_bias[:, kind] = weights[-1]
        return (
            (_halved(classes.reshape(-1, *shape)), class_bias.reshape(-1)),
            (_halved(boxes.reshape(-1, *shape)), box_bias.reshape(-1)),
        )


def _halved(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return weights.astype(np.float16).astype(np.float32)


def _ridge(gram: Floats, wanted: Floats) -> Floats:
    """Least squares from second moments, each feature scaled to unit variance; the constant,
    last, is not penalised."""
    count = gram[-1, -1]
    mean = gram[-1] / count
    deviation = np.sqrt(np.maximum(np.diag(gram) / count - mean**2, 1e-12))
    deviation[-1] = 1.0
    scaled = gram / np.outer(deviation, deviation) / count
    penalty = np.full(len(gram), RIDGE)
    penalty[-1] = 0
    weights = np.linalg.solve(scaled + np.diag(penalty), wanted / deviation[:, None] / count)
    return weights / deviation[:, None]


def _patches(features: NDArray[np.float32], level: Level) -> NDArray[np.float32]:
    """What each cell's heads see: float32 [grid * grid, channels * kernel * kernel + 1]."""
    around = level.kernel // 2
    padded = np.pad(features, ((0, 0), (around, around), (around, around)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (level.kernel,) * 2, axis=(1, 2))
    windows = windows[:, :: level.stride, :: level.stride]
    flat = windows.transpose(1, 2, 0, 3, 4).reshape(level.grid**2, -1)
    return np.hstack([flat, np.ones((len(flat), 1), np.float32)])


def _matches(anchors: Floats, corners: Floats) -> NDArray[np.int64]:
    """For each default box the object it is to find, or -1: the one it overlaps most, enough."""
    low, high = anchors[:2] - anchors[2:] / 2, anchors[:2] + anchors[2:] / 2
    inter = np.ones((anchors.shape[1], len(corners)))
    for axis in range(2):
        top = np.minimum(high[axis][:, None], corners[:, 2 + axis])
        inter *= np.maximum(0, top - np.maximum(low[axis][:, None], corners[:, axis]))
    areas = (anchors[2] * anchors[3])[:, None] + np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    overlap = inter / (areas - inter)
    matched = np.where(overlap.max(axis=1) >= MATCHED, overlap.argmax(axis=1), -1)
    matched[overlap.argmax(axis=0)] = np.arange(len(corners))
    return matched


def _encoded(anchors: Floats, corners: Floats) -> Floats:
    """The offsets [k, 4] that turn default boxes [4, k] into the boxes of ``corners`` [k, 4]."""
    centre = (corners[:, :2] + corners[:, 2:]).T / 2
    size = (corners[:, 2:] - corners[:, :2]).T
    shift = (centre - anchors[:2]) / anchors[2:] / CENTRE_SCALE
    return np.concatenate([shift, np.log(size / anchors[2:]) / SIZE_SCALE]).T
