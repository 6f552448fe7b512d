"""Sample libraries: where samples and their ground truth come from.

This package knows files, pixels, words and labels; it knows nothing of networks, traffic or
quality.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from engine import config
from engine.cache import Cache
from engine.datasets import library
from engine.datasets.sentences import Sentences
from engine.errors import ConfigError

__all__ = ("Library", "open_library")


Library = library.Library | Sentences
"""Images or sentences, their answers' truth, and the way to bring them into memory."""

SOURCES = {
    "synthetic": {
        "image_classification": "rendered",
        "object_detection": "rendered",
        "translation": "spoken",
    },
    "imagenet": {"image_classification": "imagenet"},
    "coco": {"object_detection": "coco"},
    "wmt16": {"translation": "wmt16"},
}
"""By ``dataset.kind``: the tasks that it has the truth for, and the module here for each."""

LISTING = ("imagenet", "coco")
"""The kinds whose images to calibrate with can be listed."""


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None] = lambda message: None,
) -> Library:
    """The data set's sample library, images decoded into the cache unless they are there.

    ``progress`` receives a line before and during each long step. Raises ConfigError if the
    data set's files are not as they should be, or it has no truth for ``task``.
    """
    tasks = SOURCES[dataset.kind]
    if task not in tasks:
        fitting = ", ".join(kind for kind, modules in SOURCES.items() if task in modules)
        raise ConfigError(
            f"dataset={dataset.name} is for {' and '.join(tasks)}, the model's task is {task}: "
            f"choose one of dataset={fitting}."
        )
    if dataset.calibration_list is not None and dataset.kind not in LISTING:
        raise ConfigError(
            f"dataset.calibration_list names images in files, of dataset={' or '.join(LISTING)}; "
            f"dataset={dataset.name} has samples of its own to calibrate with."
        )
    source = importlib.import_module(f"engine.datasets.{tasks[task]}")
    opened: Library = source.open_library(dataset, task, preprocessing, cache, progress)
    return opened
