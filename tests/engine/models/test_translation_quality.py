"""A fitted translator knows the toy language; a broken step before, in or after it shows."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.models import prepare
from evaluators.bleu import bleu

COUNT = 16
FP32, INT8 = config.Precision("fp32"), config.Precision("int8", calibration_count=8)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model():
    return config.Model("gnmt", "gnmt", task="translation", width=0.25)


@pytest.fixture(scope="module")
def library(model, cache):
    dataset = config.Dataset("synthetic", "synthetic", count=COUNT)
    return open_library(dataset, model.task, model.preprocessing, cache)


@pytest.fixture(scope="module")
def fp32(model, cache, library):
    artefact = prepare(model, FP32, cache, library.calibration)
    assert (artefact.weights, artefact.variant) == ("fitted", "width 0.25")
    assert [spec.name for spec in artefact.inputs] == ["tokens", "length"]
    return artefact


def answers(network, library, change=lambda tokens, length: tokens, count=COUNT):
    session = onnxruntime.InferenceSession(network)
    tokens, length = library.load(np.arange(count)).inputs
    feed = {"tokens": change(tokens, length), "length": length}
    return list(session.run(None, feed)[0])


def score(said, library):
    return bleu([library.answer(each) for each in said], library.truth).value


@pytest.fixture(scope="module")
def said(fp32, library):
    return answers(fp32.path, library)


@pytest.fixture(scope="module")
def exact(said, library):
    return score(said, library)


def reversed_words(tokens, length):
    """Each sentence backwards, its end where it was."""
    out = tokens.copy()
    for row, count in zip(out, length, strict=True):
        row[: count - 1] = row[: count - 1][::-1]
    return out


def test_it_is_far_from_chance_and_from_perfect(exact):
    assert 20 < exact < 70


def test_translations_of_other_sentences_score_at_chance(said, library, exact):
    assert score(said[1:] + said[:1], library) < 0.4 * exact


def test_reversed_sentences_show(fp32, library, exact):
    assert score(answers(fp32.path, library, reversed_words), library) < 0.6 * exact


def test_subwords_that_are_not_joined_show(said, library, exact):
    def apart(each):
        words = [library.vocabulary[i] for i in each.tolist()]
        return np.frombuffer(" ".join(words[: words.index("</s>")]).encode(), np.uint8)

    assert bleu(list(map(apart, said)), library.truth).value < 0.9 * exact


@pytest.mark.parametrize(
    ("node", "operator"),
    [
        ("parent", "Mod"),  # beams go on with another's past
        ("energy", "Neg"),  # attention looks at no place
        ("score.by_length", "Mul"),  # long hypotheses lose
    ],
)
def test_a_broken_search_shows(fp32, library, exact, node, operator):
    model = onnx.load(fp32.path)
    (body,) = (loop.attribute[0].g for loop in model.graph.node if loop.op_type == "Loop")
    (broken,) = (each for each in body.node if each.name == node)
    broken.op_type = operator
    assert score(answers(model.SerializeToString(), library), library) < 0.8 * exact


def test_int8_holds(model, cache, library, fp32, exact):
    int8 = prepare(model, INT8, cache, library.calibration)
    assert int8.path.stat().st_size < fp32.path.stat().st_size - 15e6
    # Sixteen sentences leave some points to chance; of 256 it keeps 0.99 and more.
    assert 0.93 * exact < score(answers(int8.path, library), library) < 1.12 * exact


def test_a_batch_answers_as_each_sentence_alone(fp32, library, said):
    session = onnxruntime.InferenceSession(fp32.path)
    for index, row in enumerate(said[:6]):
        tokens, length = library.load(np.array([index])).inputs
        alone = session.run(None, {"tokens": tokens, "length": length})[0][0]
        np.testing.assert_array_equal(library.answer(alone), library.answer(row))
