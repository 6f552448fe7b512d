"""The system itself: what it says without a GPU, and what it answers with one."""

import importlib.util
import sys
import time
import types

import numpy as np
import pytest

from loadgen import Ending, LoadedSet, Mode, Scenario, Settings, run
from sut.cupy import CupySut
from sut.cupy.needs import modules
from sut.device import batch_sizes

HAS = all(importlib.util.find_spec(name) for name in ("cupy", "cudnn"))


def test_without_cupy_one_message_says_what_to_install(monkeypatch, networks):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"needs CuPy.*pip install cupy-cuda13x"):
        CupySut(networks["resnet"], "classes")


def test_without_a_device_the_driver_is_named(monkeypatch):
    def none():
        raise OSError("no CUDA-capable device is detected")

    monkeypatch.setitem(sys.modules, "cupy", _cupy(none))
    monkeypatch.setitem(sys.modules, "cudnn", types.ModuleType("cudnn"))
    with pytest.raises(RuntimeError, match=r"needs an NVIDIA GPU.*no CUDA-capable"):
        modules([0])


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", _cupy(lambda: 2))
    monkeypatch.setitem(sys.modules, "cudnn", types.ModuleType("cudnn"))
    assert len(modules([0, 1])) == 2
    with pytest.raises(RuntimeError, match=r"no device 5; this machine has 0, 1"):
        modules([0, 5])


def _cupy(count):
    runtime = types.SimpleNamespace(getDeviceCount=count)
    fake = types.ModuleType("cupy")
    fake.cuda = types.SimpleNamespace(runtime=runtime)
    return fake


class _Executor:
    """Answers with the rows it was given, 4 ms after it was started."""

    def __init__(self):
        self.rows, self.launched, self.until = np.zeros(256, np.int32), [], 0.0

    def launch(self, count):
        assert self.until == 0.0, "one batch at a time"
        self.launched.append(count)
        self.until = time.monotonic() + 0.004
        self._answers = self.rows[:count].astype(np.int64)

    def answers(self, count):
        time.sleep(max(0.0, self.until - time.monotonic()))
        self.until = 0.0
        return self._answers


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("scenario", ["server", "offline", "multi_stream"])
def test_every_sample_is_answered_and_full_graphs_are_preferred(workers, scenario):
    sut = _without_a_device(workers)
    more = {"target_qps": 20_000.0, "bound_ms": 100.0} if scenario == "server" else {}
    more |= {"samples_per_query": 100} if scenario == "multi_stream" else {}
    more |= {"min_sample_count": 2500, "target_qps": 1.0} if scenario == "offline" else {}
    settings = Settings(
        scenario=Scenario(scenario),
        mode=Mode.ACCURACY,
        min_query_count=1,
        min_duration_ms=0,
        **more,
    )
    log = run(settings, _Library(2500), sut)
    assert log.ending is Ending.COMPLETE
    assert np.array_equal(
        np.concatenate([np.atleast_1d(x) for x in log.responses]), log.sample_index
    )
    launched = [count for executor in sut._executors for count in executor.launched]
    assert sum(launched) == 2500
    if scenario == "server":  # 80 are due after each batch
        assert np.isin([count for count in launched if count >= 64], sut._sizes).all()
        assert max(launched) >= 64


def _without_a_device(workers):
    sut = object.__new__(CupySut)
    device = types.SimpleNamespace(use=lambda: None)
    sut._cp = types.SimpleNamespace(cuda=types.SimpleNamespace(Device=lambda number: device))
    sut.name, sut.devices, sut.workers, sut._streams = "fake", (0,), workers, workers
    sut.max_batch, sut.max_wait_us, sut._sizes, sut._host = 256, 0.0, batch_sizes(256), None
    sut._executors = [_Executor() for _ in range(workers)]
    sut.load = lambda samples: setattr(sut, "_samples", samples)
    sut.unload = lambda: None
    return sut


class _Library:
    name = "numbers"

    def __init__(self, count):
        self.total_count = self.performance_count = count

    def load(self, indices):
        return LoadedSet(indices, (indices[:, None],))

    def unload(self, indices):
        pass


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
@pytest.mark.parametrize("start_from_device", [True, False])
@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
def test_every_layer_and_answer_is_onnx_runtimes(name, start_from_device, networks, images):
    from sut.bench.layers import differences, reference

    sut = CupySut(networks[name], "classes", max_batch=8, start_from_device=start_from_device)
    samples = LoadedSet(np.arange(10, 18), (images,))
    sut.load(samples)
    wanted = reference(networks[name], ["logits"], images)["logits"].argmax(1)
    for count in (8, 3, 1):
        got = sut._infer(1, samples, np.arange(10, 10 + count))
        assert (got == wanted[:count]).mean() >= 0.8
    if start_from_device:
        found = differences(sut._executors[0], sut._network, networks[name], images, sut._images[0])
        assert max(error for _, _, error, _ in found) < 2e-2
    sut.unload()
