"""The embedded data sets as sample libraries: labelled images, or scenes of objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from engine import config
from engine.cache import Cache, key_of
from engine.datasets import drawing, pixels, scenes, synthetic
from engine.datasets.library import Boxes, Labels, Library


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Library:
    """The test split, ``dataset.count`` images of it; calibration images are a split apart."""
    performance_count = dataset.performance_sample_count or pixels.PERFORMANCE_COUNT
    count = dataset.count or performance_count
    size, seed = preprocessing.size, dataset.seed
    if task == "object_detection":
        draw, source = scenes.scene, inspect.getsource(scenes)
        truth: Labels | Boxes = scenes.coco("test", count, size, seed)
    else:
        draw, source = synthetic.image, inspect.getsource(synthetic)
        truth = synthetic.labels("test", count, seed)
    key = key_of("synthetic", source, inspect.getsource(drawing), count, size, seed)
    array, digest = pixels.cached(
        cache, key, count, size, lambda i: draw("test", i, size, seed), progress
    )
    return Library(
        name=dataset.name,
        synthetic=True,
        performance_count=min(performance_count, count),
        truth=truth,
        pixels=array,
        pixels_sha256=digest,
        preprocessing=preprocessing,
        calibration_pixels=lambda n: pixels.stacked(
            n, lambda i: draw("calibration", i, size, seed)
        ),
    )
