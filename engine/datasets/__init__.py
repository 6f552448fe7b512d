"""Sample libraries: where samples and their ground truth come from.

This package knows files, pixels and labels; it knows nothing of networks, traffic or quality.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from engine import config
from engine.cache import Cache
from engine.datasets.library import Library
from engine.errors import ConfigError

__all__ = ("Library", "open_library")


SOURCES = {
    "synthetic": ("rendered", ("image_classification", "object_detection")),
    "imagenet": ("imagenet", ("image_classification",)),
    "coco": ("coco", ("object_detection",)),
}
"""By ``dataset.kind``: the module here, and the tasks that it has the truth for."""


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None] = lambda message: None,
) -> Library:
    """The data set's sample library, its images decoded into the cache unless they are there.

    ``progress`` receives a line before and during each long step. Raises ConfigError if the
    data set's files are not as they should be, or it has no truth for ``task``.
    """
    module, tasks = SOURCES[dataset.kind]
    if task not in tasks:
        fitting = ", ".join(kind for kind, (_, tasks) in SOURCES.items() if task in tasks)
        raise ConfigError(
            f"dataset={dataset.name} is for {' and '.join(tasks)}, the model's task is {task}: "
            f"choose one of dataset={fitting}."
        )
    source = importlib.import_module(f"engine.datasets.{module}")
    library: Library = source.open_library(dataset, task, preprocessing, cache, progress)
    return library
