from __future__ import annotations

import numpy as np
import pytest

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.datasets.library import normalise

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
    assert said == ["preparing 3 images"]


def test_calibration_images_are_no_samples(tmp_path):
    library = synthetic_library(tmp_path)
    calibration = library.calibration(4)[0]
    samples = library.load(np.arange(12)).inputs[0]
    assert calibration.shape == (4, 3, 32, 32) and calibration.dtype == np.float32
    assert not any((c == s).all() for c in calibration for s in samples)
