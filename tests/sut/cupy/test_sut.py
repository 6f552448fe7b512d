"""The system itself: what it says without a GPU, and what it answers with one."""

import importlib.util
import sys
import types

import numpy as np
import pytest

from loadgen import LoadedSet
from sut.cupy import CupySut
from sut.cupy.needs import modules

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
