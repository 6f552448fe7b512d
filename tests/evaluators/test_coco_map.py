from __future__ import annotations

import numpy as np
import pytest

from evaluators.coco_map import coco_map


def truth_of(*boxes_by_image, width=200, height=100):
    """COCO's format for (category, ymin, xmin, ymax, xmax) in shares of each image."""
    images, annotations = [], []
    for number, boxes in enumerate(boxes_by_image):
        images.append({"id": 700 + number, "width": width, "height": height})
        for category, ymin, xmin, ymax, xmax in boxes:
            w, h = (xmax - xmin) * width, (ymax - ymin) * height
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 700 + number,
                    "category_id": category,
                    "bbox": [xmin * width, ymin * height, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": f"thing {i}"} for i in (3, 7)]
    return {"images": images, "annotations": annotations, "categories": categories}


def found(image, *rows):
    """Detections in the log's encoding, from (category, ymin, xmin, ymax, xmax, score)."""
    rows = [[image, *row[1:], row[0]] for row in rows]
    return np.array(rows, np.float32).reshape(-1, 7)


BOX, OTHER = (0.1, 0.1, 0.5, 0.4), (0.2, 0.5, 0.9, 0.8)


def test_perfect_detections_score_a_hundred():
    truth = truth_of([(3, *BOX), (7, *OTHER)], [(7, *BOX)])
    quality = coco_map(
        [found(0, (3, *BOX, 0.9), (7, *OTHER, 0.4)), found(1, (7, *BOX, 0.8))], truth
    )
    assert quality.value == pytest.approx(100)
    assert (quality.metric, quality.unit, quality.count) == ("coco_map_percent", "%", 2)
    assert "2 images" in quality.note


def test_nothing_found_scores_nothing():
    truth = truth_of([(3, *BOX)], [(7, *BOX)])
    assert coco_map([found(0), found(1)], truth).value == 0
    padding = np.zeros((100, 7), np.float32)
    numbered = padding.copy()
    numbered[:, 0] = 1
    assert coco_map([padding, numbered], truth).value == 0


def test_a_box_counts_up_to_the_overlap_it_has():
    """Shifted by a quarter of its width a box has the IoU 0.6: right at 0.5, 0.55 and 0.6."""
    shifted = (0.1, 0.1 + 0.3 / 4 - 1e-4, 0.5, 0.4 + 0.3 / 4 - 1e-4)
    quality = coco_map([found(0, (3, *shifted, 0.9))], truth_of([(3, *BOX)]))
    assert quality.value == pytest.approx(30)
    assert quality.details["ap50_percent"] == pytest.approx(100)
    assert quality.details["ap75_percent"] == 0


def test_precision_by_hand():
    """One object of two found, after a wrong guess: half the recall at a precision of a half."""
    truth = truth_of([(3, *BOX), (3, *OTHER)])
    wrong = (0.8, 0.0, 1.0, 0.1)
    quality = coco_map([found(0, (3, *wrong, 0.9), (3, *BOX, 0.8))], truth)
    assert quality.value == pytest.approx(100 * 0.5 * 51 / 101)


def test_the_category_counts():
    assert coco_map([found(0, (7, *BOX, 0.9))], truth_of([(3, *BOX)])).value == 0


def test_rows_may_come_flattened():
    truth = truth_of([(3, *BOX)])
    assert coco_map([found(0, (3, *BOX, 0.9)).reshape(-1)], truth).value == pytest.approx(100)


def test_responses_in_another_order_name_their_samples():
    truth = truth_of([(3, *BOX)], [(7, *OTHER)])
    responses = [found(1, (7, *OTHER, 0.5)), found(0, (3, *BOX, 0.5))]
    assert coco_map(responses, truth, sample_ids=[1, 0]).value == pytest.approx(100)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (None, "missing"),
        (np.array([[1, 0, 0, np.nan, 1, 0.5, 3]], np.float32), "NaN"),
        (np.array([[1, 0, 0, 1, 1, np.inf, 3]], np.float32), "NaN or infinity"),
        (np.zeros(6, np.float32), "rows of 7"),
        (np.ones((1, 7), np.int64), "floating-point"),
        (found(0, (3, *BOX, 0.9)), "another image"),
    ],
)
def test_unusable_responses_are_refused_by_sample(response, problem):
    truth = truth_of([(3, *BOX)], [(3, *BOX)])
    with pytest.raises(ValueError, match=rf"{problem}.*samples 1\."):
        coco_map([found(0), response], truth)


def test_missing_and_repeated_samples_are_refused():
    truth = truth_of([(3, *BOX)], [(3, *BOX)])
    with pytest.raises(ValueError, match="1 responses for 2 images"):
        coco_map([found(0)], truth)
    with pytest.raises(ValueError, match="answered once"):
        coco_map([found(0), found(0)], truth, sample_ids=[0, 0])
    with pytest.raises(ValueError, match="answered once"):
        coco_map([found(0)], truth, sample_ids=[0])


def test_the_evaluation_prints_nothing(capsys):
    coco_map([found(0, (3, *BOX, 0.9))], truth_of([(3, *BOX)]))
    assert capsys.readouterr().out == ""
