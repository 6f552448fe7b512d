"""The kernels of ``detection.cu``: from the heads of a detector to its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sut.cupy.detector import Detections, level_firsts
from sut.cupy.graph import Network
from sut.cupy.launch import Launch, whole
from sut.cupy.sources import source
from sut.cupy.steps import stored_channels

THREADS = 256
RANKING = 4
"""Blocks that rank the boxes of an image."""
SHARES = 8
"""Threads that share the classes of a default box: a small level has few boxes."""
NAMES = ("predict", "suppress", "rank")


class DetectionKernels:
    """Compiled on first use, for the device in use then; ``cp``: CuPy."""

    def __init__(self, cp: Any, network: Network, layer: Detections) -> None:
        self._network, self._layer = network, layer
        module = cp.RawModule(code=source("detection"), options=("--std=c++17",))
        self._functions = {name: module.get_function(name) for name in NAMES}

    def __call__(self, pointers: Mapping[str, int], batch: int) -> None:
        """Enqueue them. ``pointers``: addresses of the heads by their names, of ``anchors`` and
        ``categories``, of the arrays in ``Detections.workspace``, and of ``rows``.
        """
        for launch in launches(self._network, self._layer, batch):
            launch.enqueue(self._functions[launch.kernel], pointers)


def launches(network: Network, layer: Detections, batch: int) -> list[Launch]:
    """In their order."""
    labels, boxes = len(layer.categories), layer.anchors.shape[1]
    firsts = level_firsts(layer, network.shapes)
    made: list[Launch] = []
    for classes, offsets, first in zip(layer.classes, layer.boxes, firsts, strict=False):
        channels, height, width = network.shapes[offsets]
        pixels, here = height * width, channels // 4
        pitches = stored_channels(network, classes), stored_channels(network, offsets)
        sizes = (batch, pixels, here, *pitches, labels, boxes, first, int(layer.softmax))
        arrays = (classes, offsets, "anchors", "scores", "corners")
        units = np.float32(layer.centre_scale), np.float32(layer.size_scale)
        # What a softmax needs of all classes is not computed once for each share of them.
        grid = (-(-batch * pixels * here // THREADS), 1 if layer.softmax else SHARES, 1)
        made.append(Launch("predict", grid, (*arrays, *whole(*sizes), *units), THREADS))
    arrays = ("scores", "corners", "candidates", "kept_scores", "kept_places")
    limits = np.float32(layer.threshold), np.float32(layer.overlap)
    counts = whole(labels, boxes, layer.most)
    made.append(Launch("suppress", (labels, batch, 1), (*arrays, *counts, *limits), THREADS))
    arrays = ("kept_scores", "kept_places", "corners", "categories", "rows")
    made.append(Launch("rank", (RANKING, batch, 1), (*arrays, *counts), THREADS))
    return made
