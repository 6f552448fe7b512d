from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.quality import against
from evaluators.top1 import labelled, top1


def test_class_indices_of_any_integer_form():
    responses = [np.int64(3), np.array([1], np.int32), np.array(2, np.uint8), 7]
    quality = top1(responses, np.array([3, 1, 0, 7]))
    assert (quality.details["correct"], quality.count, quality.value, quality.unit) == (
        3,
        4,
        75.0,
        "%",
    )
    assert quality.metric == "top1_percent"


def test_scores_count_by_their_largest():
    scores = np.array([[0.1, 0.9, 0.0], [5.0, -1.0, 4.9]], np.float32)
    assert top1(list(scores), np.array([1, 2])).details["correct"] == 1


def test_label_offset_is_added_to_the_class_index():
    for response in (np.int64(5), np.array([5], np.int32), np.eye(8, dtype=np.float32)[5]):
        label = labelled(response, -1)
        assert (label, label.dtype, label.shape) == (4, np.int64, ())
        assert labelled(response, 0) == 5


@pytest.mark.parametrize("response", [np.array([]), np.float32([np.nan, 1]), np.array([1, 2])])
def test_what_names_no_class_stays_for_the_score_to_refuse(response):
    assert labelled(response, -1) is response


def test_interval_is_exact():
    # Clopper-Pearson for 0 of n has the closed form 1 - (alpha / 2) ** (1 / n).
    quality = top1([0] * 20, np.ones(20, np.int64))
    assert quality.details["low_percent"] == 0.0
    assert quality.details["high_percent"] == pytest.approx(100 * (1 - 0.025 ** (1 / 20)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_agrees_with_a_plain_count_and_lies_in_its_interval(pairs):
    predicted, labels = zip(*pairs, strict=True)
    quality = top1(list(predicted), np.array(labels))
    assert quality.details["correct"] == sum(p == t for p, t in pairs)
    assert 0 <= quality.details["low_percent"] <= quality.value <= quality.details["high_percent"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (None, "missing"),
        (np.array([]), "empty"),
        (np.array([0.1, np.nan]), "NaN"),
        (np.array([1, 2]), "more than one class index"),
        (np.array([0.5]), "single score"),
        (np.array(["cat"]), "neither"),
    ],
)
def test_unusable_responses_are_refused_by_sample_id(response, problem):
    with pytest.raises(ValueError, match=rf"{problem}.*samples 2\."):
        top1([1, response, 1], np.array([1, 1, 1]), sample_ids=[0, 2, 1])


def test_wrong_counts_are_refused():
    with pytest.raises(ValueError, match="2 responses for 3 labels"):
        top1([1, 1], np.array([1, 1, 1]))
    with pytest.raises(ValueError, match="nothing to score"):
        top1([], np.array([], np.int64))
    with pytest.raises(ValueError, match="1 responses for 2 labels"):
        top1([1], np.array([1]), sample_ids=[1, 2])


def test_missing_and_repeated_samples_are_refused():
    labels = np.array([1, 1])
    with pytest.raises(ValueError, match=r"for 1 of 2 labels, 2 in all: .* answered once"):
        top1([1, 1], labels, sample_ids=[1, 1])
    with pytest.raises(ValueError, match="answered once"):
        top1([1], labels, sample_ids=[0])


def test_responses_in_another_order_name_their_samples():
    assert top1([5, 3, 4], np.array([3, 4, 5]), sample_ids=[2, 0, 1]).value == 100


def test_target_is_a_share_of_the_reference():
    quality = top1([1] * 757 + [0] * 243, np.ones(1000, np.int64))
    met = against(quality, 76.456)
    assert met.passed and met.required == pytest.approx(75.69144)
    assert not against(quality, 76.5).passed
    assert not against(quality, 0.0).passed
    assert against(quality, 80.0, published=75.0).passed
    assert not against(quality, 70.0, published=76.0).passed
    assert against(quality, 77.2, ratio=0.98).passed
