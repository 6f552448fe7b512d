from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import config
from engine.cache import Cache
from engine.datasets import drawing, open_library, scenes
from engine.errors import ConfigError

SMALL = config.Preprocessing(size=64, resize=64)
GOLDEN_PIXELS = "a1413c823175ac0b2923d215e7eebc9787dd8646b027018e2ce3477b60d2ccec"
GOLDEN_BOXES = [[157.0, 148.0, 78.0, 79.0], [8.0, 131.0, 90.0, 90.0], [44.0, 47.0, 46.0, 45.0]]


def opened(tmp_path, count=6, **keys):
    dataset = config.Dataset("synthetic", "synthetic", count=count, **keys)
    return open_library(dataset, "object_detection", SMALL, Cache(tmp_path))


def test_scenes_are_the_same_everywhere():
    pixels = np.stack([scenes.scene("test", i, 300) for i in range(3)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN_PIXELS
    assert [row["bbox"] for row in scenes.coco("test", 1, 300)["annotations"]] == GOLDEN_BOXES


def test_splits_and_seeds_share_no_scene():
    found = [
        scenes.scene(split, i, 48, seed).tobytes()
        for split in drawing.SPLITS
        for seed in (0, 1)
        for i in range(10)
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("index", range(8))
def test_boxes_are_tight_around_what_is_coloured(index):
    """By an independent reading: saturated pixels lie inside the boxes and reach their edges."""
    image = scenes.scene("test", index, 300).astype(np.float64)
    # Averages of 3 x 3 pixels, so that noise does not pass for colour.
    smooth = image.reshape(100, 3, 100, 3, 3).mean(axis=(1, 3))
    spread = smooth.max(axis=2) - smooth.min(axis=2)
    coloured = spread > 45
    inside = np.zeros_like(coloured)
    for each in scenes.objects("test", index, 300):
        left, top, width, height = each.box
        rows, columns = (
            slice(top // 3, -(-(top + height) // 3)),
            slice(left // 3, -(-(left + width) // 3)),
        )
        inside[rows, columns] = True
        ys, xs = np.nonzero(coloured[rows, columns])
        assert len(ys), "an object that cannot be seen"
        if spread[rows, columns].max() > 90:
            assert 3 * (xs.max() - xs.min() + 1) >= width - 12
            assert 3 * (ys.max() - ys.min() + 1) >= height - 12
    assert (coloured & ~inside).mean() < 0.005


def test_objects_do_not_overlap():
    for index in range(50):
        boxes = [each.box for each in scenes.objects("test", index, 300)]
        for i, (x, y, w, h) in enumerate(boxes):
            for a, b, c, d in boxes[:i]:
                assert x >= a + c - 4 or a >= x + w - 4 or y >= b + d - 4 or b >= y + h - 4


def test_every_category_is_drawn_about_equally_often():
    rows = scenes.coco("train", 400, 64)["annotations"]
    counts = np.bincount([row["category_id"] for row in rows])[1:]
    assert len(counts) == len(scenes.CATEGORIES) == 10
    assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.4 * counts.mean()


@settings(max_examples=20)
@given(st.integers(32, 200), st.integers(0, 2**70), st.integers(0, 2**40))
def test_any_size_seed_and_index_gives_a_scene(size, seed, index):
    image = scenes.scene("train", index, size, seed)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    for each in scenes.objects("train", index, size, seed):
        left, top, width, height = each.box
        assert 0 <= left < left + width <= size and 0 <= top < top + height <= size
        assert each.mask.shape == (height, width)
        assert each.mask.any(axis=0)[[0, -1]].all() and each.mask.any(axis=1)[[0, -1]].all()


def test_the_library_numbers_its_images(tmp_path):
    library = opened(tmp_path)
    images, numbers = library.load(np.array([4, 1])).inputs
    assert images.shape == (2, 3, 64, 64)
    assert numbers.dtype == np.float32 and numbers.tolist() == [4, 1]
    calibration, numbers = library.calibration(3)
    assert len(calibration) == len(numbers) == 3


def test_the_truth_is_part_of_the_fingerprint(tmp_path):
    one, other = opened(tmp_path), opened(tmp_path)
    assert one.fingerprint == other.fingerprint
    other.truth["annotations"][0]["bbox"][0] += 1
    assert one.fingerprint != other.fingerprint


def test_synthetic_data_are_as_many_as_a_performance_run_loads(tmp_path):
    library = opened(tmp_path, count=None, performance_sample_count=5)
    assert (library.total_count, library.performance_count) == (5, 5)


@pytest.mark.parametrize(
    ("kind", "task", "fitting"),
    [
        ("imagenet", "object_detection", "synthetic, coco"),
        ("coco", "image_classification", "synthetic, imagenet"),
    ],
)
def test_data_without_the_tasks_truth_are_refused(tmp_path, kind, task, fitting):
    with pytest.raises(ConfigError, match=f"dataset={kind} is for .* dataset={fitting}"):
        open_library(config.Dataset(kind, kind), task, SMALL, Cache(tmp_path))
