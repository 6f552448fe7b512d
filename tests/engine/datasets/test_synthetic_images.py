from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets import drawing, synthetic

GOLDEN_PIXELS = "a25d9f1e669ce9b1b2fc52dd1b15d85e92ce98444bf10458d0648286547239e0"
GOLDEN_LABELS = [14, 3, 30, 29, 4, 16, 10, 18]


def test_an_image_does_not_depend_on_its_neighbours_or_their_number():
    few = synthetic.images("test", range(3), 64)
    later = synthetic.images("test", range(2, 5), 64)
    assert (few[2] == later[0]).all()
    assert (synthetic.labels("test", 3) == synthetic.labels("test", 9)[:3]).all()


def test_pixels_are_the_same_everywhere():
    pixels = synthetic.images("test", range(4), 224)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN_PIXELS
    assert synthetic.labels("test", 8).tolist() == GOLDEN_LABELS


def test_splits_and_seeds_share_no_image():
    images = [
        synthetic.image(split, i, 48, seed).tobytes()
        for split in drawing.SPLITS
        for seed in (0, 1)
        for i in range(20)
    ]
    assert len(set(images)) == len(images)


def test_every_class_is_drawn_about_equally_often():
    counts = np.bincount(synthetic.labels("test", 3200), minlength=synthetic.CLASSES)
    assert len(counts) == synthetic.CLASSES
    assert counts.min() > 60 and counts.max() < 145  # four standard deviations about 100


@pytest.mark.parametrize("index", range(12))
def test_the_label_is_planted_as_colour(index):
    """The most saturated pixels have the hue that the label says, by an independent reading."""
    image = synthetic.image("test", index, 224).astype(np.float64)
    label = int(synthetic.labels("test", index + 1)[-1])
    # Averages of 8 x 8 pixels, so that noise does not pass for colour.
    blocks = image.reshape(28, 8, 28, 8, 3).mean(axis=(1, 3)).reshape(-1, 3)
    spread = blocks.max(axis=1) - blocks.min(axis=1)
    seen = blocks[np.argsort(spread)[-8:]].mean(axis=0)
    palette = np.array(drawing.COLOURS, np.float64)
    direction = (palette / np.linalg.norm(palette, axis=1)[:, None]) @ (seen / np.linalg.norm(seen))
    colour = label // len(synthetic.TEXTURES) % len(drawing.COLOURS)
    assert colour in np.argsort(direction)[-2:]


@settings(max_examples=20)
@given(st.integers(8, 96), st.integers(0, 2**70), st.integers(0, 2**40))
def test_any_size_seed_and_index_gives_an_image(size, seed, index):
    image = synthetic.image("train", index, size, seed)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
