"""ONNX Runtime on GPUs: what it says without one, and how it is started with one."""

import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.transformers import float16

from engine.models import resnet50_v1_5, weights
from loadgen import Ending, LoadedSet, Mode, Scenario, Settings, run
from sut import onnxruntime_cuda
from sut.half import half
from sut.onnxruntime import session
from sut.onnxruntime_cuda import PROVIDER, OnnxRuntimeCudaSut, modules

from . import fake_cupy


def test_an_onnx_runtime_without_cuda_is_named_with_what_to_install():
    with pytest.raises(RuntimeError, match=r"has .*CPUExecutionProvider.*onnxruntime-gpu"):
        modules([0])


@pytest.fixture
def provider(monkeypatch):
    """An ONNX Runtime that says it has CUDA."""
    has = [PROVIDER, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: has)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


def test_without_cupy_or_a_device_the_message_says_so(provider, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"provider=cuda needs CuPy.*cupy-cuda13x"):
        modules([0])
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.fake(devices=2))
    assert modules([0, 1])
    with pytest.raises(RuntimeError, match="no device 2; this machine has 0, 1"):
        modules([0, 2])


@pytest.fixture
def started(provider, monkeypatch):
    """``started(cp, model, ...)``: the system where the device is the processor; what it asked."""
    asked = []

    def on_processor(model, threads, level, providers):
        asked.append(providers)
        own = session(model, threads, level, ["CPUExecutionProvider"])
        wrapped = SimpleNamespace(get_providers=lambda: [PROVIDER])
        for name in ("get_inputs", "run_with_iobinding"):
            setattr(wrapped, name, getattr(own, name))
        wrapped.io_binding = own.io_binding
        return wrapped

    def start(cp, model, **settings):
        monkeypatch.setattr("sut.network.WARM_UP_S", 0.0)
        monkeypatch.setitem(sys.modules, "cupy", cp)
        monkeypatch.setattr(onnxruntime_cuda, "session", on_processor)
        bound = onnxruntime_cuda.bound
        monkeypatch.setattr(
            onnxruntime_cuda,
            "bound",
            lambda own, output, kind, device: bound(own, output, "cpu", 0),
        )
        return OnnxRuntimeCudaSut(model, "y", **settings), asked

    return start


@pytest.mark.parametrize("start_from_device", [True, False])
def test_each_worker_has_a_stream_and_answers_on_its_device(start_from_device, started, network):
    cp = fake_cupy.fake(devices=2)
    sut, asked = started(
        cp, network(), devices=[0, 1], workers=2, max_batch=8, start_from_device=start_from_device
    )
    assert [p[0][1]["device_id"] for p in asked] == ["0", "0", "1", "1"]
    assert {p[0][0] for p in asked} == {PROVIDER}
    assert sut.workers == 4
    settings = Settings(
        scenario=Scenario.OFFLINE,
        mode=Mode.ACCURACY,
        target_qps=1.0,
        min_query_count=1,
        min_sample_count=100,
        min_duration_ms=0,
    )
    log = run(settings, _Numbers(), sut)
    assert log.ending is Ending.COMPLETE, log.error
    for index, answer in zip(log.sample_index, log.responses, strict=True):
        assert answer.tolist() == [2 * index, -index]
    assert cp.freed >= 2


class _Numbers:
    name = "numbers"
    total_count = performance_count = 100

    def load(self, indices):
        return LoadedSet(indices, (indices[:, None].astype(np.float32),))

    def unload(self, indices):
        pass


def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(started, network):
    with pytest.raises(RuntimeError, match=r"weights of 3 workers"):
        started(fake_cupy.fake(free=1000), network(), workers=3)


def test_a_fall_back_to_the_processor_is_refused(provider, monkeypatch, network):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.fake())
    monkeypatch.setattr(
        onnxruntime_cuda, "_providers", lambda device, stream: ["CPUExecutionProvider"]
    )
    with pytest.raises(RuntimeError, match="could not start its CUDAExecutionProvider"):
        OnnxRuntimeCudaSut(network(), "y")


def test_half_precision_keeps_inputs_outputs_and_answers(tmp_path):
    made = resnet50_v1_5.network("resnet", 0.125, 64)
    path = tmp_path / "whole.onnx"
    onnx.save(made.model(weights.seeded(made, 0)), str(path))
    content = half(path)
    assert len(content) < 0.6 * path.stat().st_size
    images = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)
    whole, halved = (
        session(model, 1, "all", ["CPUExecutionProvider"]).run(["logits"], {"input": images})[0]
        for model in (path, content)
    )
    assert halved.dtype == np.float32
    assert 0 < np.abs(whole - halved).max() < 0.02 * np.abs(whole).max()


def test_a_tensor_that_several_layers_read_in_fp32_is_cast_once(tmp_path, monkeypatch):
    convert = float16.convert_float_to_float16

    def before_1_32(model, **options):
        made = convert(model, **options)
        again = [node for node in made.graph.node if node.op_type == "Cast"]
        made.graph.node.extend(again)
        return made

    monkeypatch.setattr(float16, "convert_float_to_float16", before_1_32)
    made = resnet50_v1_5.network("resnet", 0.125, 64)
    path = tmp_path / "whole.onnx"
    onnx.save(made.model(weights.seeded(made, 0)), str(path))
    session(half(path), 1, "none", ["CPUExecutionProvider"])


def test_a_file_that_is_no_network_is_not_converted(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(RuntimeError, match=r"broken\.onnx cannot be converted"):
        half(path)
