"""Small networks as ONNX files, and what they compute."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from engine.models import resnet50_v1_5, weights
from engine.models.mobilenet_v1 import network as mobilenet
from sut.cupy.files import read

from . import plain

SIDE = 64


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Narrow ResNet-50 and MobileNet for small images, by name: their files."""
    folder = tmp_path_factory.mktemp("networks")
    made = {
        "resnet": resnet50_v1_5.network("resnet", 0.25, SIDE),
        "mobilenet": mobilenet("mobilenet", 0.5, SIDE),
    }
    for name, network in made.items():
        onnx.save(network.model(weights.seeded(network, 0)), str(folder / f"{name}.onnx"))
    return {name: folder / f"{name}.onnx" for name in made}


@pytest.fixture(scope="session")
def plans(tmp_path_factory):
    """The file of tuned plans that all tests share: tuning takes most of their time."""
    return tmp_path_factory.mktemp("plans") / "plans.json"


@pytest.fixture(scope="session")
def images():
    """float32 [8, 3, 64, 64]."""
    return np.random.default_rng(0).standard_normal((8, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def quantised(networks, images):
    """By name: the network with the ranges of its values for ``images``, and these values."""

    def made(name):
        whole = read(networks[name], "classes")
        values = plain.outputs(whole, images)
        ranges = {
            x.name: (min(0.0, float(values[x.name].min())), float(values[x.name].max()))
            for x in whole.layers[:-2]
        }
        if name == "resnet":
            ranges["maxpool"] = ranges["bn1.relu"]
        return replace(whole, ranges=ranges), values

    return made
