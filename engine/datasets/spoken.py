"""The embedded toy language pair as a sample library."""

from __future__ import annotations

from collections.abc import Callable

from engine import config
from engine.cache import Cache
from engine.datasets.language import SOURCE, TARGET, pair
from engine.datasets.sentences import END, JOINT, Sentences

MOST = 3003
"""Sentences unless ``dataset.count`` asks for more: as many as newstest2014 has."""

_IDS = {word: number for number, word in enumerate(SOURCE.vocabulary)}


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Sentences:
    """The test split, ``dataset.count`` sentences."""
    wanted = dataset.performance_sample_count or MOST
    count = dataset.count or min(wanted, MOST)
    pairs = [pair("test", i, dataset.seed) for i in range(count)]
    return Sentences(
        name=dataset.name,
        synthetic=True,
        performance_count=min(wanted, count),
        truth=tuple(" ".join(p.target).replace(f"{JOINT} ", "") for p in pairs),
        source=[tokens(p.source) for p in pairs],
        vocabulary=TARGET.vocabulary,
    )


def tokens(words: tuple[str, ...]) -> list[int]:
    """The numbers of a sentence's subwords, and END."""
    return [*(_IDS[word] for word in words), END]
