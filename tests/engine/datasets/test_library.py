from __future__ import annotations

import numpy as np
import pytest

from engine import config
from engine.cache import Cache
from engine.datasets import open_library, pixels
from engine.datasets.library import normalise
from engine.passing import Passing

SMALL = config.Preprocessing(size=32, resize=36)


def synthetic_library(tmp_path, preprocessing=SMALL, count=12, **keys):
    dataset = config.Dataset("synthetic", "synthetic", count=count, **keys)
    return open_library(dataset, "image_classification", preprocessing, Cache(tmp_path))


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_normalise_is_the_formula(channels, layout):
    p = config.Preprocessing(
        size=8,
        channels=channels,
        layout=layout,
        scale=2.0,
        mean=[1.0, 2.0, 3.0],
        std=[4.0, 5.0, 6.0],
    )
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    ordered = images if channels == "rgb" else images[..., ::-1]
    expected = (ordered / 2.0 - np.array(p.mean)) / np.array(p.std)
    if layout == "nchw":
        expected = expected.transpose(0, 3, 1, 2)
    found = normalise(images, 3, p)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_load_gives_the_rows_asked_for_in_their_order(tmp_path):
    library = synthetic_library(tmp_path)
    every = library.load(np.arange(12)).inputs[0]
    some = library.load(np.array([7, 2, 11]))
    assert (some.inputs[0] == every[[7, 2, 11]]).all()
    assert some.rows(np.array([11, 7], np.int32)).tolist() == [2, 0]
    assert some.inputs[0].flags.owndata
    library.unload(some.indices)


def test_describes_itself(tmp_path):
    library = synthetic_library(tmp_path, performance_sample_count=5)
    assert (library.name, library.synthetic) == ("synthetic", True)
    assert (library.total_count, library.performance_count) == (12, 5)
    assert library.truth.dtype == np.int64 and len(library.truth) == 12
    assert synthetic_library(tmp_path, performance_sample_count=99).performance_count == 12


def test_fingerprint_follows_what_makes_the_samples(tmp_path):
    def fingerprint(**changes):
        count, seed = changes.pop("count", 12), changes.pop("seed", 0)
        p = config.Preprocessing(**({"size": 32, "resize": 36} | changes))
        return synthetic_library(tmp_path, p, count, seed=seed).fingerprint

    variants = [{}, {"count": 11}, {"seed": 1}, {"channels": "bgr"}, {"scale": 2.0}, {"size": 33}]
    found = [fingerprint(**dict(variant)) for variant in variants]
    assert len(set(found)) == len(found)
    assert fingerprint() == found[0]


def test_pixels_are_made_once(tmp_path):
    said: list[str] = []
    dataset = config.Dataset("synthetic", "synthetic", count=3)
    for _ in range(2):
        open_library(dataset, "image_classification", SMALL, Cache(tmp_path), said.append)
    assert [text for text in said if not isinstance(text, Passing)] == ["preparing 3 images"]
    assert said[-1].startswith("preparing images") and "━  3 of 3  ETA 0 s" in said[-1]


def test_an_interrupted_preparation_goes_on_where_it_was_left(tmp_path):
    asked, said = [], []
    cache, count, size = Cache(tmp_path), 2 * pixels.BLOCK + 30, 4

    def image(i):
        asked.append(i)
        if i == stop_at:
            raise KeyboardInterrupt
        return np.full((size, size, 3), i, np.uint8)

    stop_at = 2 * pixels.BLOCK + 9
    with pytest.raises(KeyboardInterrupt):
        pixels.cached(cache, "k" * 64, count, size, image, said.append)
    asked.clear()
    stop_at = None
    found, digest = pixels.cached(cache, "k" * 64, count, size, image, said.append)
    assert min(asked) == 2 * pixels.BLOCK and "158 images, 128 of them are there" in "".join(said)
    assert found[:, 0, 0, 0].tolist() == list(range(count))
    assert isinstance(found, np.memmap)
    whole = pixels.cached(Cache(tmp_path / "b"), "k" * 64, count, size, image, said.append)
    assert whole[1] == digest
    assert [path.suffix for path in tmp_path.glob("*.*")] == [".npy"]


@pytest.mark.parametrize("written", [0, 1, 200, 64 * 48 + 128, 10**6])
def test_what_was_left_is_trusted_no_further_than_it_was_written(tmp_path, written):
    """Not the last block, which may not have reached the disk; nor what has another header."""
    left = tmp_path / f".{'k' * 24}-unfinished.npy"
    left.write_bytes(b"\x93NUMPY"[:written] + bytes(max(0, written - 6)))
    found, _ = pixels.cached(
        Cache(tmp_path),
        "k" * 64,
        70,
        4,
        lambda i: np.full((4, 4, 3), i, np.uint8),
        lambda text: None,
    )
    assert found[:, 3, 3, 2].tolist() == list(range(70))


def test_calibration_images_are_no_samples(tmp_path):
    library = synthetic_library(tmp_path)
    calibration = library.calibration(4)[0]
    samples = library.load(np.arange(12)).inputs[0]
    assert calibration.shape == (4, 3, 32, 32) and calibration.dtype == np.float32
    assert not any((c == s).all() for c in calibration for s in samples)
