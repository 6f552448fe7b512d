"""ONNX Runtime as a system under test, on a network small enough to check by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from loadgen import Ending, Mode, judge, run
from sut.onnxruntime import OnnxRuntimeSut

WEIGHTS = np.array([[2.0, -1.0]], np.float32)


@pytest.fixture
def network(tmp_path):
    """y = x @ [[2, -1]] with a dynamic or a fixed batch dimension."""

    def make(batch="n"):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "line",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2])],
            [numpy_helper.from_array(WEIGHTS, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        path = tmp_path / f"line_{batch}.onnx"
        onnx.save(model, str(path))
        return path

    return make


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_each_sample_gets_its_own_answer(batch, workers, scenario, network, settings, library):
    sut = OnnxRuntimeSut(network(batch), "y", workers=workers, max_batch=3, threads=1)
    log = run(settings(scenario, mode=Mode.ACCURACY), library, sut)
    assert judge(log).valid
    for index, answer in zip(log.sample_index, log.responses, strict=True):
        assert answer.tolist() == [2 * index, -index]


def test_a_network_with_a_fixed_batch_takes_batches_of_that_size(network, settings, library):
    sut = OnnxRuntimeSut(network(4), "y", max_batch=32)
    asked = settings("offline", min_query_count=10, target_qps=1, min_duration_ms=0)
    assert run(asked, library, sut).batch_sizes.tolist() == [4, 4, 2]


def test_workers_with_several_threads_have_sessions_of_their_own(network):
    own = OnnxRuntimeSut(network(), "y", workers=2, threads=2)
    shared = OnnxRuntimeSut(network(), "y", workers=2, threads=1)
    assert own._sessions[0] is not own._sessions[1]
    assert shared._sessions[0] is shared._sessions[1]


def test_service_time_grows_with_nothing_but_work(network, library):
    sut = OnnxRuntimeSut(network(), "y")
    samples = library.load(np.arange(64))
    assert 0 < sut.service_time_s(samples, 1) < 1


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(RuntimeError, match=r"cannot load .*broken\.onnx"):
        OnnxRuntimeSut(path, "y")


def test_a_wrong_output_name_ends_the_run_with_the_reason(network, settings, library):
    sut = OnnxRuntimeSut(network(), "nonsense")
    log = run(settings(), library, sut)
    assert log.ending is Ending.SUT_ERROR
    assert "nonsense" in log.error
