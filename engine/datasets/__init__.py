"""Sample libraries: where samples and their ground truth come from.

This package knows files, pixels and labels; it knows nothing of networks, traffic or quality.
"""

from __future__ import annotations

from collections.abc import Callable

from engine import config
from engine.cache import Cache
from engine.datasets.library import Library

__all__ = ("Library", "open_library")


def open_library(
    dataset: config.Dataset,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None] = lambda message: None,
) -> Library:
    """The data set's sample library, its images decoded into the cache unless they are there.

    ``progress`` receives a line before and during each long step. Raises ConfigError if the
    data set's files are not as they should be.
    """
    from engine.datasets import imagenet, rendered

    source = rendered if dataset.kind == "synthetic" else imagenet
    return source.open_library(dataset, preprocessing, cache, progress)
