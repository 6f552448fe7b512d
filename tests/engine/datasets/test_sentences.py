"""Sentences as samples: the toy language's rules, and WMT16's files as they come."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.datasets.language import ADJECTIVES, NOUNS, SOURCE, SPECIAL, TARGET, pair
from engine.datasets.sentences import END, joined, padded
from engine.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "data" / "wmt16"
P = config.Preprocessing()


def opened(tmp_path, kind="synthetic", **keys):
    dataset = config.Dataset(kind, kind, **keys)
    return open_library(dataset, "translation", P, Cache(tmp_path / "cache"))


def test_a_sentence_is_the_same_everywhere_and_splits_share_none():
    assert " ".join(pair("test", 2).source) == "a pin sen gas a rus vin ."
    assert " ".join(pair("test", 2).target) == "eine fir bor rat eine dat kor ."
    train = {pair("train", i).source for i in range(300)}
    assert not train & {pair("test", i).source for i in range(100)}


def test_the_rules_of_translation():
    adjectives, theirs = SOURCE.adjectives, TARGET.adjectives
    assert len(adjectives) == ADJECTIVES and len(SOURCE.nouns) == NOUNS
    seen = set()
    for i in range(200):
        p = pair("test", i)
        assert len(p.source) == len(p.target) and sorted(p.aligned) == list(range(len(p.source)))
        for at, word in enumerate(p.target):
            origin = p.source[p.aligned[at]]
            if word in theirs:
                assert origin == adjectives[theirs.index(word)]
                assert p.aligned[at] < at, "it comes after its noun"
            if word in TARGET.nouns:
                gender = TARGET.nouns.index(word) % 2
                assert origin == SOURCE.nouns[TARGET.nouns.index(word)]
                assert p.target[at - 1] in (TARGET.articles[gender], TARGET.articles[2 + gender])
                seen.add(p.target[at - 1])
    assert seen == set(TARGET.articles[:4])


def test_no_word_means_two_things():
    for lexicon in (SOURCE, TARGET):
        assert len(set(lexicon.vocabulary)) == len(lexicon.vocabulary)
    assert set(SOURCE.vocabulary) & set(TARGET.vocabulary) == {*SPECIAL, "."}


def test_rows_of_different_lengths_lie_in_one_array(tmp_path):
    library = opened(tmp_path, count=9)
    tokens, length = library.load(np.array([5, 0, 8])).inputs
    assert (tokens.dtype, length.dtype, tokens.shape[0]) == (np.int32, np.int32, 3)
    assert tokens.shape[1] == length.max() and len(set(length.tolist())) > 1
    for row, count, index in zip(tokens, length, (5, 0, 8), strict=True):
        words = [SOURCE.vocabulary[i] for i in row[: count - 1]]
        assert tuple(words) == pair("test", index).source
        assert (row[count - 1 :] == END).all()


def test_an_answer_is_text_up_to_its_end(tmp_path):
    library = opened(tmp_path, count=2)
    ids = [TARGET.vocabulary.index(word) for word in pair("test", 0).target]
    answer = library.answer(np.array([*ids, END, 7, 7], np.int32))
    assert answer.tobytes().decode() == library.truth[0]
    assert "@@" not in library.truth[0] and "turte" in library.truth[0]
    assert joined(np.array([10**6, 3]), TARGET.vocabulary) == "<unk> ."


def test_the_fingerprint_tells_data_apart(tmp_path):
    prints = {opened(tmp_path, count=n, seed=s).fingerprint for n, s in ((3, 0), (4, 0), (3, 1))}
    assert len(prints) == 3
    assert opened(tmp_path, count=3).fingerprint in prints


def test_padding_ends_every_row():
    assert padded([[5, 6, END], [END]]).tolist() == [[5, 6, END], [END, END, END]]


def test_wmt16_is_read_as_it_comes(tmp_path):
    library = opened(tmp_path, "wmt16", path=str(SAMPLE))
    assert (library.total_count, library.synthetic) == (3, False)
    assert library.truth[2] == "Zwei rote Lampen stehen neben der alten Tür."
    tokens, length = library.load(np.arange(3)).inputs
    assert length.tolist() == [11, 10, 13]
    words = [library.vocabulary[i] for i in tokens[0, :10]]
    assert words == ["The", "d@@", "og", "doesn", "&apos;t", "see", "the", "c@@", "at", "."]
    assert 0 in tokens[2], "'oor' is no word of the vocabulary"
    said = [library.vocabulary.index(word) for word in ("Der", "H@@", "und", "sieht", "nicht")]
    assert library.answer(np.array([*said, END])).tobytes() == b"Der Hund sieht nicht"


def test_count_takes_the_first_lines(tmp_path):
    library = opened(tmp_path, "wmt16", path=str(SAMPLE), count=1)
    assert library.total_count == len(library.truth) == 1
    with pytest.raises(ConfigError, match=r"dataset\.count=4 is more than the 3"):
        opened(tmp_path, "wmt16", path=str(SAMPLE), count=4)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("newstest2014.de", "Ein Satz.\n", "3 lines and newstest2014.de 1"),
        ("newstest2014.de", "Eins.\n\nDrei.\n", "line 2 is empty"),
        ("vocab.bpe.32000", "the\ncat\nsat\n", "<unk>, <s>, </s>"),
        ("newstest2014.tok.bpe.32000.en", None, "newstest2014.tok.bpe.32000.en is missing"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, file, text, words):
    folder = shutil.copytree(SAMPLE, tmp_path / "wmt")
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(ConfigError, match=words):
        opened(tmp_path, "wmt16", path=str(folder))
