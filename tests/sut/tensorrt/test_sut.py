"""The system itself, over a TensorRT and a CuPy whose device is the processor."""

import importlib
import sys
import types

import numpy as np
import onnxruntime
import pytest

from loadgen import LoadedSet
from sut.tensorrt import TensorRtSut
from sut.tensorrt import sut as module
from sut.tensorrt.sut import modules

fake_cupy = importlib.import_module("..fake_cupy", __package__)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeError, match=r"needs TensorRT.*pip install tensorrt"):
        modules([0])
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.fake())
    assert modules([0])
    with pytest.raises(RuntimeError, match="no device 1"):
        modules([1])


class _Engine:
    """The part of an engine's interface that is used, over ONNX Runtime."""

    num_io_tensors, device_memory_size_v2 = 2, 1000

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path))
        self.made = []

    def get_tensor_name(self, number):
        return "xy"[number]

    def get_tensor_mode(self, name):
        return {"x": "in", "y": "out"}[name]

    def get_tensor_shape(self, name):
        return {"x": (-1, 1), "y": (-1, 2)}[name]

    def get_tensor_dtype(self, name):
        return np.float32

    def create_execution_context(self):
        self.made.append(_Context(self))
        return self.made[-1]


class _Context:
    def __init__(self, engine):
        self._engine, self.runs, self._where = engine, [], {}

    def set_optimization_profile_async(self, number, stream):
        self.profile = number

    def set_input_shape(self, name, shape):
        self._shape = shape

    def set_tensor_address(self, name, address):
        self._where[name] = address

    def execute_async_v3(self, stream):
        x, y = _at(self._where["x"], self._shape), _at(self._where["y"], (self._shape[0], 2))

        def run():
            self.runs.append(len(x))
            y[...] = self._engine.session.run(["y"], {"x": x})[0]

        self._engine.cupy.enqueue(run)
        return True


def _at(address, shape):
    described = {"data": (address, False), "shape": shape, "typestr": "<f4", "version": 3}
    return np.asarray(types.SimpleNamespace(__array_interface__=described))


@pytest.fixture
def started(monkeypatch, network):
    """``started(**settings)``: the system, and the engine that it runs."""
    made = _Engine(network())

    def start(tmp_path, free=8 << 30, **settings):
        cupy = made.cupy = fake_cupy.fake(free=free)
        trt = types.ModuleType("tensorrt")
        trt.__version__, trt.nptype = "11", lambda kind: kind
        trt.TensorIOMode = types.SimpleNamespace(INPUT="in")
        monkeypatch.setattr(module, "modules", lambda devices: (cupy, trt))
        monkeypatch.setattr(module, "deserialised", lambda trt, content: made)
        monkeypatch.setattr(module, "engine", lambda *asked: b"engine")
        monkeypatch.setattr("sut.network.WARM_UP_S", 0.0)
        return TensorRtSut(network(), "y", engines=tmp_path, **settings), made

    return start


@pytest.mark.parametrize("start_from_device", [True, False])
def test_answers_come_from_the_profile_of_the_batch(start_from_device, started, tmp_path):
    sut, engine = started(tmp_path, max_batch=32, streams=2, start_from_device=start_from_device)
    samples = LoadedSet(np.arange(40), (np.arange(40, dtype=np.float32)[:, None],))
    sut.load(samples)
    assert [context.profile for context in engine.made] == [0, 1, 0, 1]
    for indices in (np.array([7]), np.arange(3, 9), np.arange(31), np.arange(40)):
        answers = sut._lanes[1].answer(samples, indices)
        assert answers.tolist() == [[2 * x, -x] for x in indices]
    small, large = engine.made[2:]
    assert set(small.runs) == {1, 8}
    assert set(large.runs) == {16, 32}
    sut.unload()


def test_contexts_that_do_not_fit_are_refused(started, tmp_path):
    with pytest.raises(RuntimeError, match=r"needs 0\.00 GiB \(weights"):
        started(tmp_path, free=1000)


def test_an_output_that_the_engine_has_not_is_named(started, tmp_path, monkeypatch):
    monkeypatch.setattr(_Engine, "get_tensor_name", lambda self, number: "xz"[number])
    monkeypatch.setattr(_Engine, "get_tensor_mode", lambda self, name: {"x": "in"}.get(name))
    monkeypatch.setattr(_Engine, "get_tensor_shape", lambda self, name: (-1, 1))
    with pytest.raises(RuntimeError, match="no output y: it has z"):
        started(tmp_path)
