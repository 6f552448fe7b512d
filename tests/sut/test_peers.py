"""The bench of a GPU's systems, as far as a processor goes."""

from types import SimpleNamespace

import numpy as np
import pytest

from sut.bench import peers, translation
from sut.bench.networks import NETWORKS, Subject
from sut.bench.scenarios import offline
from sut.onnxruntime import OnnxRuntimeSut

ASKED = SimpleNamespace(batches=[1, 4], seconds=0.05, without=["check"], cache=None)


def test_every_network_has_a_system_to_be_measured_on():
    assert len(NETWORKS) == 5
    for name in NETWORKS:
        assert {"onnxruntime"} <= {system for system, _ in peers.cases(name)}
    assert {("cupy", "fp16"), ("cupy", "int8")} <= set(peers.cases("ssd_resnet34"))
    assert peers.cases("gnmt") == [("cupy", "fp16"), ("onnxruntime", "fp32")]


def test_each_system_has_its_line_and_one_that_is_missing_says_why(network, library, monkeypatch):
    samples, lines = library.load(np.arange(64)), []

    def make(system, given, batch, cache):
        if system == "tensorrt":
            raise RuntimeError("sut=tensorrt needs TensorRT\nand more")
        return OnnxRuntimeSut(given.path, given.output, max_batch=batch)

    monkeypatch.setattr(peers, "make", make)
    monkeypatch.setattr("sut.network.WARM_UP_S", 0.0)

    def subjects(precision):
        return Subject("resnet50", precision, network(), "y", samples, np.empty(0, np.int64))

    chosen = [("onnxruntime", "fp32"), ("tensorrt", "int8")]
    peers.compare("resnet50", subjects, chosen, ASKED, lambda **line: lines.append(line))
    ours, missing = lines
    assert ours["system"] == "onnxruntime fp32"
    assert (ours["batch"], ours["scenario"]) == (4, "offline")
    assert ours["samples_per_s"] > 100
    assert missing["skipped"] == "sut=tensorrt needs TensorRT"


def test_an_offline_run_that_fails_is_no_figure(network, library):
    class Broken(OnnxRuntimeSut):
        def serve(self, queries, worker):
            raise ValueError("the device is gone")

    with pytest.raises(RuntimeError, match="the device is gone"):
        offline(Broken(network(), "y"), library.load(np.arange(8)), 0.01)


def test_steps_are_timed_on_samples_that_are_loaded(network, library, monkeypatch):
    samples, shown = library.load(np.arange(8)), []
    monkeypatch.setattr(peers, "make", lambda *given: OnnxRuntimeSut(network(), "y", max_batch=4))
    monkeypatch.setattr(
        peers.profile, "show", lambda sut, batch, label, say: shown.append((sut._samples, batch))
    )
    given = Subject("resnet50", "fp16", network(), "y", samples, np.empty(0, np.int64))
    asked = SimpleNamespace(**{**vars(ASKED), "without": ["check", "scenarios"]})
    lines = []
    peers.compare(
        "resnet50", lambda x: given, [("cupy", "fp16")], asked, lambda **x: lines.append(x)
    )
    assert [x.get("scenario") for x in lines] == ["offline"]
    assert shown == [(samples, 4)]


def test_detections_are_compared_on_samples_that_are_loaded(network, library, monkeypatch):
    class Device(OnnxRuntimeSut):
        def _infer(self, worker, samples, indices):
            assert self._samples is samples, "a device reads memory that was given back"
            return self._lanes[worker].answer(samples, indices)

    samples = library.load(np.arange(8))
    given = Subject("ssd_mobilenet", "fp16", network(), "y", samples, np.empty(0, np.int64))
    sut = Device(given.path, given.output)
    offline(sut, samples, 0.01)
    monkeypatch.setattr(peers, "alike", np.array_equal)
    assert peers._checked(sut, given, given)


def test_detections_are_alike_where_box_and_category_are():
    row = [0, 0.1, 0.1, 0.5, 0.5, 0.9, 3]
    moved = [0, 0.12, 0.1, 0.5, 0.5, 0.8, 3]
    away = [0, 0.6, 0.6, 0.9, 0.9, 0.9, 3]
    other = [0, 0.1, 0.1, 0.5, 0.5, 0.9, 4]
    nothing = [0, 0, 0, 0, 0, 0, 0]
    wanted = np.array([[row, away, nothing]])
    assert peers.alike(np.array([[moved, away, nothing]]), wanted) == 1
    assert peers.alike(np.array([[other, away, nothing]]), wanted) == 0.5
    assert peers.alike(np.array([[nothing]]), wanted) == 0
    # One detection stands for one only.
    assert peers.alike(np.array([[row, nothing]]), np.array([[row, moved]])) == 0.5
    assert peers.alike(np.array([[row]]), np.array([[nothing]])) == 1


def test_translations_are_compared_up_to_their_ends():
    ours, theirs = np.array([[7, 8, 2], [7, 2, 2]]), np.array([[7, 8, 2, 2], [7, 9, 2, 2]])
    assert translation.alike(ours, theirs, 2) == 0.5
    assert translation.alike(theirs, theirs[:, :3], 2) == 1
    assert translation.alike(theirs + 1, theirs, 2) == 0
