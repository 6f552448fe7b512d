"""The system itself: what it says without a GPU, and what it answers with one."""

import ctypes
import importlib.util
import sys
import time
import types
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from engine.models import weights
from loadgen import Ending, LoadedSet, Mode, Scenario, Settings, run
from sut.bench.peers import alike
from sut.cupy import CupySut
from sut.cupy.executor import Executor
from sut.cupy.files import read
from sut.cupy.images import image_bytes
from sut.cupy.needs import modules
from sut.device import batch_sizes

HAS = all(importlib.util.find_spec(name) for name in ("cupy", "cudnn"))


def test_without_cupy_one_message_says_what_to_install(monkeypatch, networks):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"needs CuPy.*pip install .cupy-cuda13x\[ctk\]"):
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
    """Answers with the rows it was given; each batch takes 4 ms, once the one before has ended."""

    def __init__(self):
        self.rows, self.launched = np.zeros((2, 256), np.int32), []
        self.seats, self.until, self.behind = {}, 0.0, 0

    def launch(self, count, seat):
        assert seat not in self.seats, "a batch that was not answered"
        self.launched.append(count)
        self.behind += len(self.seats)
        began = max(self.until, time.monotonic())
        self.until = began + 0.004
        self.seats[seat] = began, self.until, self.rows[seat, :count].astype(np.int64)

    def left_s(self, seat):
        began, until, _ = self.seats[seat]
        assert began <= time.monotonic(), "it runs"
        return until - time.monotonic()

    def answers(self, count, seat):
        _, until, answers = self.seats.pop(seat)
        time.sleep(max(0.0, until - time.monotonic()))
        assert len(answers) == count
        return answers


@pytest.mark.parametrize(("devices", "streams"), [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("scenario", ["server", "offline", "multi_stream"])
def test_every_sample_is_answered_and_full_graphs_are_preferred(devices, streams, scenario):
    sut = _without_a_device(devices, streams)
    more = {"target_qps": devices * 20_000.0, "bound_ms": 100.0} if scenario == "server" else {}
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
        # Alone, it launches a batch behind the one that runs; two take turns as they get free.
        behind = [executor.behind for executor in sut._executors]
        assert min(behind) > 0 if streams == 1 else max(behind) == 0


@pytest.mark.parametrize("most", [1, 8])
def test_a_batch_is_never_larger_than_asked_for(most):
    sut = _without_a_device(1, 1)
    sut.max_batch = most
    settings = Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_query_count=1,
        min_duration_ms=0,
        min_sample_count=64,
    )
    assert run(settings, _Library(64), sut).ending is Ending.COMPLETE
    assert sut._executors[0].launched == [most] * (64 // most)


def _without_a_device(devices, streams):
    sut = object.__new__(CupySut)
    device = types.SimpleNamespace(use=lambda: None)
    sut._cp = types.SimpleNamespace(cuda=types.SimpleNamespace(Device=lambda number: device))
    sut.name, sut.devices = "fake", tuple(range(devices))
    sut.workers, sut._streams = devices * streams, streams
    sut.max_batch, sut.max_wait_us, sut._sizes = 256, 0.0, batch_sizes(256)
    sut._executors = [_Executor() for _ in range(sut.workers)]
    sut.load = lambda samples: setattr(sut, "_samples", samples)
    sut.unload = lambda: None
    return sut


def test_no_place_of_a_larger_set_is_read_when_a_smaller_one_is_recorded():
    """The unloaded latency is measured with all samples, and then batches are timed with 64."""
    executor = object.__new__(Executor)
    executor.rows = np.full((2, 8), 1023, np.int32)
    executor._sizes, executor._graphs, executor._takes_s = (1, 8), {}, {}
    executor._staging, executor.stream = None, MagicMock()
    places = []
    executor.enqueue = lambda size, samples, seat=0: places.append(executor.rows[seat, :size].max())
    executor.launch = executor.answers = lambda size: places.append(executor.rows[:, :size].max())
    executor.capture(samples=None)
    assert places and not any(places)


def test_images_in_the_hosts_memory_are_copied_before_the_graph_reads_them():
    executor, events = object.__new__(Executor), []

    def copied(to, source, size, kind, stream):
        assert (size, kind, stream) == (16, 1, 5)
        ctypes.memmove(to, source, size)
        events.append("copy")

    def launched(stream):
        events.append(room.images.held[:3].view(np.float16)[:, 0].tolist())

    executor._resident = SimpleNamespace(
        cp=SimpleNamespace(
            empty=_on_device,
            arange=_arange,
            uint8=np.uint8,
            int32=np.int32,
            cuda=SimpleNamespace(runtime=SimpleNamespace(memcpyAsync=copied)),
        )
    )
    executor._sizes, executor.rows = (1, 4), np.zeros((2, 4), np.int32)
    executor._staging, executor.stream = None, SimpleNamespace(ptr=5)
    executor._ended, executor._began_s, executor._size = [MagicMock()] * 2, [0.0] * 2, [0] * 2
    executor._graphs = {(4, 1): SimpleNamespace(launch=launched)}
    samples = np.arange(9, dtype=np.float16)[:, None, None] * np.ones((2, 4), np.float16)
    executor._stage(samples)
    room = executor._staging
    assert (room.images.shape, list(room.order.held)) == ((4, 16), [0, 1, 2, 3])
    places = {"samples": room.images.data.ptr, "rows": room.order.data.ptr}
    assert executor._images(samples, seat=1) == places
    executor.rows[1, :3] = 7, 2, 7
    for wanted in ([7, 2, 7], [1, 6, 1]):
        events.clear()
        executor.launch(3, seat=1)
        assert events == ["copy", "copy", "copy", wanted]
        samples = samples[::-1].copy()  # another set of samples
        executor._stage(samples)
        assert executor._staging is room


def test_room_for_batches_from_the_hosts_memory_is_counted(networks):
    sut = object.__new__(CupySut)
    sut._network, sut._executors, sut._streams, sut.max_batch = (
        read(networks["resnet"], "classes"),
        [],
        3,
        16,
    )
    samples = LoadedSet(np.arange(6), (np.zeros((6, 3, 64, 64), np.float32),))
    own = image_bytes(sut._network)
    sut.start_from_device = False
    parts = sut._parts(samples)
    assert parts["batches of samples"] == 3 * 16 * own
    assert "6 samples" not in parts
    sut.start_from_device = True
    assert sut._parts(samples).keys() ^ parts.keys() == {"6 samples", "batches of samples"}
    assert sut._parts(samples)["6 samples"] == 6 * own


def test_a_layers_images_are_brought_before_it_runs():
    executor, calls = object.__new__(Executor), []
    steps = [SimpleNamespace(layer=SimpleNamespace(name=name)) for name in ("first", "second")]
    executor._resident = SimpleNamespace(steps=steps, arrays=[{}, {}])
    executor.stream = MagicMock()
    executor._bring = lambda count, seat=0: calls.append(("bring", count, seat))
    executor.step = lambda step, arrays, batch, samples: calls.append((step.layer.name, batch))
    executor.tensor = lambda name, batch: name
    assert [made for _, made in executor.each_layer(3, None)] == ["first", "second"]
    assert calls == [("bring", 3, 0), ("first", 3), ("second", 3)]


def _on_device(shape, dtype=np.uint8):
    held = np.zeros(shape, dtype)
    data = SimpleNamespace(ptr=held.ctypes.data)
    return SimpleNamespace(held=held, shape=held.shape, data=data)


def _arange(count, dtype):
    made = _on_device(count, dtype)
    made.held[:] = range(count)
    return made


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
@pytest.mark.parametrize(
    ("half", "start_from_device", "most"),
    [("fp16", True, 2e-2), ("fp16", False, 2e-2), ("bf16", True, 0.1)],
)
@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
def test_every_layer_and_answer_is_onnx_runtimes(
    name, half, start_from_device, most, networks, images, plans
):
    from sut.bench.layers import differences, reference

    made = {"max_batch": 8, "start_from_device": start_from_device, "plans": plans}
    sut = CupySut(networks[name], "classes", precision=half, **made)
    samples = LoadedSet(np.arange(10, 18), (images,))
    sut.load(samples)
    wanted = reference(networks[name], ["logits"], images)["logits"].argmax(1)
    for count in (8, 3, 1):
        got = sut._infer(1, samples, np.arange(10, 10 + count))
        assert (got == wanted[:count]).mean() >= (0.8 if half == "fp16" else 0.5)
    found = differences(sut._executors[0], sut._network, networks[name], images, sut._sources[0])
    assert max(error for _, _, error, _ in found) < most
    sut.unload()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_detector_answers_as_onnx_runtime_does(precision, tmp_path):
    from engine.cache import Cache
    from engine.models import ssd_mobilenet_v1
    from engine.models.quantise import quantise
    from sut.onnxruntime import session

    network = ssd_mobilenet_v1.network("detector", 0.5, 128)
    values = weights.seeded(network, 0)
    draw = np.random.default_rng(3)
    for name in values:
        if name.startswith("heads."):
            values[name] = 0.01 * draw.standard_normal(values[name].shape).astype(np.float32)
            if name.endswith("classes.bias"):
                values[name] -= 2
    path = tmp_path / "detector.onnx"
    onnx.save(network.model(values), str(path))
    images = draw.standard_normal((8, 3, 128, 128)).astype(np.float32)
    numbers = np.arange(8, dtype=np.float32) + 30
    file = path
    if precision == "int8":
        file = tmp_path / "int8.onnx"
        feeds = [{"input": images, "image": numbers}]
        quantise(path, file, feeds, False, Cache(tmp_path), percentile=True)
    sut = CupySut(file, "detections", max_batch=8, precision=precision)
    samples = LoadedSet(np.arange(8), (images, numbers))
    sut.load(samples)
    found = sut._infer(0, samples, np.arange(8))
    own = session(path, 4, "all", ["CPUExecutionProvider"])
    wanted = own.run(["detections"], {"input": images, "image": numbers})[0]
    assert (wanted[:, :, 5] > 0).any()
    assert np.array_equal(found[:, :, 0], wanted[:, :, 0])
    assert alike(found, wanted) > 0.9
    assert abs(found[:, 0, 5] - wanted[:, 0, 5]).max() < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
@pytest.mark.parametrize("start_from_device", [True, False])
def test_no_memory_grows_over_100_runs(start_from_device, networks, images, plans):
    import cupy
    import psutil

    made = {"max_batch": 8, "start_from_device": start_from_device, "plans": plans}
    sut = CupySut(networks["resnet"], "classes", **made)
    library = SimpleNamespace(
        name="images",
        total_count=8,
        performance_count=8,
        load=lambda indices: LoadedSet(indices, (images[indices],)),
        unload=lambda indices: None,
    )
    settings = Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_query_count=1,
        min_sample_count=200,
        min_duration_ms=0,
    )
    taken = []
    for _ in range(100):
        assert run(settings, library, sut).ending is Ending.COMPLETE
        free = cupy.cuda.Device(0).mem_info[0]
        taken.append((psutil.Process().memory_info().rss, -free))
    host, device = (np.array(column) for column in zip(*taken, strict=True))
    assert host[90:].min() - host[10:20].min() < 32 << 20
    assert device[90:].min() - device[10:20].min() < 32 << 20
