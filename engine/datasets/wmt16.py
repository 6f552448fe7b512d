"""A folder with newstest2014, English to German, as WMT16's byte-pair scripts leave it.

``vocab.bpe.32000`` (a subword on each line), ``newstest2014.tok.bpe.32000.en`` (the sentences, in
subwords) and ``newstest2014.de`` (their translations as plain text). Sample i is line i.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine import config
from engine.cache import Cache
from engine.datasets import photographs
from engine.datasets.language import SPECIAL
from engine.datasets.sentences import END, Sentences
from engine.errors import ConfigError

VOCABULARY = "vocab.bpe.32000"
SENTENCES, TRANSLATIONS = "newstest2014.tok.bpe.32000.en", "newstest2014.de"


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Sentences:
    """The first ``dataset.count`` sentences, all of them if it is None."""
    folder = photographs.folder_of(dataset, SENTENCES)
    vocabulary = _lines(folder / VOCABULARY)
    if tuple(vocabulary[: END + 1]) != SPECIAL:
        raise ConfigError(
            f"{folder / VOCABULARY}: its first lines must be {', '.join(SPECIAL)}, one a line; "
            f"they are {', '.join(vocabulary[: END + 1])}."
        )
    ids = {word: number for number, word in enumerate(vocabulary)}
    sentences, translations = _lines(folder / SENTENCES), _lines(folder / TRANSLATIONS)
    if len(sentences) != len(translations):
        raise ConfigError(
            f"{folder}: {SENTENCES} has {len(sentences):,} lines and {TRANSLATIONS} "
            f"{len(translations):,}: line i of one must translate line i of the other."
        )
    count = dataset.count or len(sentences)
    if count > len(sentences):
        raise ConfigError(
            f"dataset.count={count} is more than the {len(sentences)} of {SENTENCES}."
        )

    def tokens(line: str) -> list[int]:
        return [*(ids.get(word, 0) for word in line.split()), END]

    return Sentences(
        name=dataset.name,
        synthetic=False,
        performance_count=min(dataset.performance_sample_count or count, count),
        truth=tuple(translations[:count]),
        source=[tokens(line) for line in sentences[:count]],
        vocabulary=vocabulary,
    )


def _lines(path: Path) -> list[str]:
    """The lines of a file; ConfigError if it is missing, empty or holds an empty line."""
    text = photographs.read_text(
        path,
        f"dataset.path must be a folder with {VOCABULARY}, {SENTENCES} and {TRANSLATIONS}.",
    )
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ConfigError(f"{path}: line {number} is empty.")
    return lines
