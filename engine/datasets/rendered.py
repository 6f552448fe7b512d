"""The embedded data set: ``engine.datasets.synthetic`` as a sample library."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from engine import config
from engine.cache import Cache, key_of
from engine.datasets import pixels, synthetic
from engine.datasets.library import Library

DEFAULT_COUNT = 1024


def open_library(
    dataset: config.Dataset,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Library:
    """The test split, ``dataset.count`` images of it; calibration images are a split apart."""
    count = dataset.count or DEFAULT_COUNT
    size, seed = preprocessing.size, dataset.seed
    key = key_of("synthetic", inspect.getsource(synthetic), count, size, seed)
    array, digest = pixels.cached(
        cache, key, count, size, lambda i: synthetic.image("test", i, size, seed), progress
    )
    return Library(
        name=dataset.name,
        synthetic=True,
        performance_count=min(dataset.performance_sample_count, count),
        labels=synthetic.labels("test", count, seed),
        pixels=array,
        pixels_sha256=digest,
        preprocessing=preprocessing,
        calibration_pixels=lambda n: pixels.stacked(
            n, lambda i: synthetic.image("calibration", i, size, seed)
        ),
    )
