"""OpenVINO beside ONNX Runtime: one artefact, the same answers."""

import sys

import numpy as np
import pytest

from engine.build import build

SUTS = ("openvino", "onnxruntime")


@pytest.fixture
def answers(configured, shared_cache):
    """``answers(sut, "model=mobilenet", ...)``: the logits of eight samples in one batch."""
    pytest.importorskip("openvino")

    def of(sut, *overrides):
        small = ("dataset.count=8", f"cache_dir={shared_cache}", "model.output=logits")
        config = configured(f"sut={sut}", "sut.max_batch=8", *small, *overrides)
        benchmark = build(config, lambda message: None)
        samples = benchmark.library.load(np.arange(8))
        return benchmark.sut._lanes[0].answer(samples, np.arange(8))

    return of


@pytest.mark.parametrize("model", ["mobilenet", "resnet50"])
def test_single_precision_differs_only_by_rounding(model, answers):
    ours, theirs = (answers(sut, f"model={model}", "precision=fp32") for sut in SUTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_int8_differs_by_steps_of_the_quantisation(answers):
    ours, theirs = (answers(sut, "model=mobilenet", "precision=int8")[:, 1:11] for sut in SUTS)
    exact = answers("onnxruntime", "model=mobilenet", "precision=fp32")[:, 1:11]
    assert np.abs(ours - theirs).mean() < np.abs(exact - exact.mean()).mean() / 5
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.75


def test_a_whole_run_reaches_the_quality(engine):
    pytest.importorskip("openvino")
    ended = engine(
        "model=mobilenet", "sut=openvino", "scenario=offline", "mode=both", "dataset.count=64"
    )
    assert ended.code == 0, ended.out + ended.err
    assert "mobilenet · offline · openvino · int8" in ended.out


def test_without_the_package_the_command_says_how_to_get_it(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    ended = engine("model=mobilenet", "sut=openvino", "scenario=offline")
    assert ended.code == 3
    assert "sut=openvino" in ended.err
    assert "pip install 'tailbound[openvino]'" in ended.err
