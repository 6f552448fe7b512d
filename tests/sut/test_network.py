"""What every runtime's system does alike: batches, answers, and errors."""

import importlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from loadgen import LoadedSet, Mode, judge, run
from sut.network import Lane, NetworkSut
from sut.onnxruntime import fixed_batch, session
from sut.onnxruntime_cuda import bound

SYSTEMS = {"onnxruntime": "OnnxRuntimeSut", "openvino": "OpenVinoSut"}


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """Warm-up by single runs only: no time is measured here."""
    monkeypatch.setattr("sut.network.WARM_UP_S", 0.0)


@pytest.fixture(params=[*SYSTEMS, "bound"])
def system(request):
    """The class of each system whose runtime is installed."""
    if request.param == "bound":
        return _bound
    pytest.importorskip(request.param)
    return getattr(importlib.import_module(f"sut.{request.param}"), SYSTEMS[request.param])


def _bound(model, output, *, workers=1, max_batch=1, threads=1):
    """The GPU's way of binding inputs, on the processor: only the kind of memory differs."""
    own = [session(model, threads, "all", ["CPUExecutionProvider"]) for _ in range(workers)]
    return NetworkSut(
        [bound(each, output, "cpu", 0) for each in own],
        fixed_batch(own[0]),
        name="bound",
        threads=threads,
        max_batch=max_batch,
        max_wait_us=0.0,
        sizes=(1, 2, 16),
    )


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_each_sample_gets_its_own_answer(
    batch, workers, scenario, system, network, settings, library
):
    sut = system(network(batch), "y", workers=workers, max_batch=3, threads=1)
    log = run(settings(scenario, mode=Mode.ACCURACY), library, sut)
    assert judge(log).valid
    assert len(log.responses) == library.total_count
    for index, answer in zip(log.sample_index, log.responses, strict=True):
        assert answer.tolist() == [2 * index, -index]


def test_a_network_with_a_fixed_batch_takes_batches_of_that_size(
    system, network, settings, library
):
    sut = system(network(4), "y", max_batch=32)
    assert sut.fixed_batch == 4
    asked = settings("offline", min_query_count=10, target_qps=1, min_duration_ms=0)
    assert run(asked, library, sut).batch_sizes.tolist() == [4, 4, 2]


def test_a_batch_is_as_large_as_the_system_was_told(system, network, settings, library):
    sut = system(network(), "y", max_batch=16)
    asked = settings("offline", min_query_count=40, target_qps=1, min_duration_ms=0)
    assert run(asked, library, sut).batch_sizes.tolist() == [16, 16, 8]


def test_an_answer_outlives_the_next_run(system, network, library):
    sut = system(network(), "y", max_batch=8)
    samples = library.load(np.arange(64))
    first = sut._lanes[0].answer(samples, np.arange(8))
    sut._lanes[0].answer(samples, np.arange(8, 16))
    assert first[:, 0].tolist() == list(range(0, 16, 2))


def test_service_time_grows_with_nothing_but_work(system, network, library):
    sut = system(network(), "y")
    assert 0 < sut.service_time_s(library.load(np.arange(64)), 1) < 1


def test_inputs_are_told_apart_by_their_order(system, tmp_path):
    """y = a - b, where the file declares b first."""
    vector = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 1]) for n in "bay"]
    graph = helper.make_graph(
        [helper.make_node("Sub", ["a", "b"], ["y"])], "g", vector[:2], vector[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "two.onnx"))
    b, a = np.array([[1.0], [2.0]], np.float32), np.array([[10.0], [30.0]], np.float32)
    sut = system(tmp_path / "two.onnx", "y", max_batch=2)
    answers = sut._lanes[0].answer(LoadedSet(np.arange(2), (b, a)), np.array([1, 0]))
    assert answers.tolist() == [[28.0], [9.0]]


def test_a_file_that_is_no_network_is_refused(system, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(RuntimeError, match=r"cannot load .*broken\.onnx"):
        system(path, "y")


@pytest.fixture
def lane():
    """A lane whose network answers a sample with its own number; and what it was given."""
    given = []

    def infer(inputs):
        given.append(inputs)
        return inputs[0][:, 0].copy()

    return Lane(infer, None), given


def test_batches_are_gathered_into_one_buffer(lane, library):
    lane, given = lane
    samples = library.load(np.array([5, 3, 9, 7]))
    for indices in ([3, 9, 5, 5], [7, 3], [9, 5, 7]):
        assert lane.answer(samples, np.array(indices)).tolist() == indices
    assert len({inputs[0].ctypes.data for inputs in given}) == 1


def test_one_sample_is_not_copied(lane, library):
    lane, given = lane
    samples = library.load(np.array([5, 3]))
    assert lane.answer(samples, np.array([3])).tolist() == [3]
    assert np.shares_memory(given[0][0], samples.inputs[0])


def test_batches_are_filled_up_to_the_sizes_that_are_prepared(library):
    sizes = []

    def infer(inputs):
        sizes.append(len(inputs[0]))
        return inputs[0][:, 0].copy()

    lane, samples = Lane(infer, (1, 4, 8)), library.load(np.arange(20))
    for count in (1, 2, 8, 19):
        assert lane.answer(samples, np.arange(count)).tolist() == list(range(count))
    assert sizes == [1, 4, 8, 8, 8, 4]
    assert [lane.sizes_to(most) for most in (1, 4, 5)] == [(1,), (4, 1), (8, 4, 1)]
    assert Lane(infer, (4,)).sizes_to(3) == (4,)
