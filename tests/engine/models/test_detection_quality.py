"""Fitted detectors see the synthetic scenes; a broken step before or after them shows."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.models import prepare
from evaluators.coco_map import coco_map

FP32, INT8 = config.Precision("fp32"), config.Precision("int8", calibration_count=32)
COUNT = 96


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model():
    size = 160
    preprocessing = config.Preprocessing(size=size, resize=size, scale=127.5, mean=[1.0, 1.0, 1.0])
    return config.Model(
        "ssd_mobilenet_v1",
        "ssd_mobilenet",
        task="object_detection",
        width=0.25,
        size=size,
        preprocessing=preprocessing,
    )


@pytest.fixture(scope="module")
def library(model, cache):
    dataset = config.Dataset("synthetic", "synthetic", count=COUNT)
    return open_library(dataset, model.task, model.preprocessing, cache)


def score(network, library, change=lambda images: images):
    session = onnxruntime.InferenceSession(network)
    images, numbers = library.load(np.arange(COUNT)).inputs
    images = np.ascontiguousarray(change(images))
    answers = [
        session.run(None, {"input": images[at : at + 16], "image": numbers[at : at + 16]})[0]
        for at in range(0, COUNT, 16)
    ]
    return coco_map(list(np.concatenate(answers)), library.truth).value


@pytest.fixture(scope="module")
def fp32(model, cache, library):
    artefact = prepare(model, FP32, cache, library.calibration)
    assert (artefact.weights, artefact.variant) == ("fitted", "width 0.25, 160x160")
    assert [spec.name for spec in artefact.inputs] == ["input", "image"]
    assert artefact.output.shape == (None, 100, 7)
    return artefact


@pytest.fixture(scope="module")
def exact(fp32, library):
    return score(fp32.path, library)


def test_it_is_far_from_chance_and_from_perfect(exact):
    assert 7 < exact < 60


def test_int8_comes_near(model, cache, library, fp32, exact):
    int8 = prepare(model, INT8, cache, library.calibration)
    assert int8.path.stat().st_size < 0.7 * fp32.path.stat().st_size  # the heads stay in fp32
    assert 0.9 * exact < score(int8.path, library) < 1.07 * exact


def test_swapped_colour_channels_show(fp32, library, exact):
    assert score(fp32.path, library, lambda images: images[:, ::-1]) < 0.6 * exact


def test_mirrored_images_show(fp32, library, exact):
    """The boxes then lie on the other side: the scenes have no symmetry to hide it."""
    assert score(fp32.path, library, lambda images: images[..., ::-1]) < 0.2 * exact


@pytest.mark.parametrize(
    ("constant", "change"),
    [
        ("centre_scale", lambda value: value * 0),  # offsets of the centre are lost
        ("size_scale", lambda value: value * -2),  # sizes are decoded the wrong way round
        ("default.centres", lambda value: value[:, ::-1]),  # rows taken for columns
        ("default.sizes", lambda value: value * 0.7),
    ],
)
def test_a_broken_box_decoding_shows(fp32, library, exact, constant, change):
    model = onnx.load(fp32.path)
    (node,) = [node for node in model.graph.node if node.output[0] == constant]
    value = np.ascontiguousarray(change(numpy_helper.to_array(node.attribute[0].t)))
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(value, constant))
    assert score(model.SerializeToString(), library) < 0.7 * exact
