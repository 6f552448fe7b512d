from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.errors import ConfigError
from engine.models import prepare, weights
from engine.models.reference import REFERENCES, network_of
from engine.models.saturation import products_saturate
from evaluators.top1 import top1

FP32, INT8 = config.Precision("fp32"), config.Precision("int8", calibration_count=16)
COUNT = 256


def reference(kind, **keys):
    offset = -1 if kind == "mobilenet_v1" else 0
    keys = {"label_offset": offset, "preprocessing": REFERENCES[kind].preprocessing} | keys
    return config.Model(kind, kind, **keys)


def never(count):
    raise AssertionError("calibration images were asked for")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


def score(artefact, images, labels, offset):
    session = onnxruntime.InferenceSession(artefact.path)
    answers = [session.run([artefact.output.name], {"input": b})[0] for b in np.split(images, 16)]
    return top1(list(np.concatenate(answers) + offset), labels).value


def test_mobilenet_sees_the_synthetic_data_in_both_precisions(cache):
    model = reference("mobilenet_v1")
    dataset = config.Dataset("synthetic", "synthetic", count=COUNT)
    library = open_library(dataset, model.task, model.preprocessing, cache)
    fp32 = prepare(model, FP32, cache, never)
    int8 = prepare(model, INT8, cache, library.calibration)
    images = library.load(np.arange(COUNT)).inputs[0]
    exact = score(fp32, images, library.truth, -1)
    assert (fp32.weights, fp32.parameters) == ("fitted", 4233001)
    assert 60 < exact < 95
    assert score(int8, images, library.truth, -1) > 0.95 * exact
    assert int8.path.stat().st_size < 0.3 * fp32.path.stat().st_size
    assert (fp32.quantisation, bool(int8.quantisation)) == ("", products_saturate())
    # The network looks at colour: blue for red is a blunder that shows.
    flipped = np.ascontiguousarray(images[:, ::-1])
    assert score(fp32, flipped, library.truth, -1) < 0.5 * exact


def test_resnet50_sees_the_synthetic_data(cache):
    model, count = reference("resnet50_v1_5"), 32
    dataset = config.Dataset("synthetic", "synthetic", count=count)
    library = open_library(dataset, model.task, model.preprocessing, cache)
    artefact = prepare(model, FP32, cache, never)
    images = library.load(np.arange(count)).inputs[0]
    # Of 32 classes chance is 3 %; 32 images leave the interval wide.
    assert score(artefact, images, library.truth, 0) > 45
    assert (artefact.weights, artefact.parameters) == ("fitted", 25557032)


def test_the_output_is_chosen_by_name(cache):
    artefact = prepare(reference("mobilenet_v1", output="logits"), FP32, cache, never)
    assert (artefact.output.name, artefact.output.shape) == ("logits", (None, 1001))
    default = prepare(reference("mobilenet_v1"), FP32, cache, never)
    assert (default.output.name, default.output.dtype) == ("classes", "int64")
    assert artefact.path == default.path
    with pytest.raises(ConfigError, match=r"has no output x: .* logits, classes"):
        prepare(reference("mobilenet_v1", output="x"), FP32, cache, never)


@pytest.mark.parametrize(
    ("method", "sizes"), [("minmax", [16, 16, 8]), ("percentile", [8, 8, 8, 8, 8])]
)
def test_percentiles_are_taken_of_batches_of_one_size(method, sizes, cache, monkeypatch):
    """ONNX Runtime's tools put them into one array."""
    given = []

    def quantise(source, target, feeds, saturating, cache, percentile, gptq):
        given.extend(len(feed["input"]) for feed in feeds)
        target.write_bytes(method.encode())

    monkeypatch.setattr("engine.models.quantise.quantise", quantise)
    asked = config.Precision("int8", calibration_count=40, calibration_method=method)
    images = np.zeros((40, 3, 1, 1), np.float32)
    prepare(reference("mobilenet_v1", seed=3), asked, cache, lambda count: (images[:count],))
    assert given == sizes


def test_seeds_and_files_of_weights_are_told_apart(cache, tmp_path):
    seeded = prepare(reference("mobilenet_v1", seed=3), FP32, cache, never)
    assert seeded.weights == "seeded"
    path = tmp_path / "w.npz"
    np.savez(path, **weights.seeded(network_of("mobilenet_v1"), 3))
    loaded = prepare(reference("mobilenet_v1", weights=str(path)), FP32, cache, never)
    assert loaded.weights.startswith("w.npz sha256:")
    assert loaded.sha256 == seeded.sha256


def test_the_shape_of_a_reference_network_is_not_negotiable(cache):
    wrong = config.Preprocessing(size=192, resize=224)
    with pytest.raises(ConfigError, match="float32"):
        prepare(reference("mobilenet_v1", preprocessing=wrong), FP32, cache, never)


@pytest.mark.parametrize("name", ["mobilenet", "resnet50", "ssd_mobilenet", "ssd_resnet34"])
def test_conf_preprocesses_as_the_fit_does(name, configured):
    model = configured(f"model={name}").model
    assert model.preprocessing == REFERENCES[model.kind].preprocessing


def test_importing_the_package_is_cheap():
    code = "import sys, engine.models; print([m for m in sys.modules if m.startswith('onnx')])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
