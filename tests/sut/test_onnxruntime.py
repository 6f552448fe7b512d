"""What is ONNX Runtime's own about its system."""

from loadgen import Ending, run
from sut.onnxruntime import OnnxRuntimeSut


def test_workers_with_several_threads_have_sessions_of_their_own(network):
    own = OnnxRuntimeSut(network(), "y", workers=2, threads=2)
    shared = OnnxRuntimeSut(network(), "y", workers=2, threads=1)
    assert own.sessions[0] is not own.sessions[1]
    assert shared.sessions[0] is shared.sessions[1]


def test_a_wrong_output_name_ends_the_run_with_the_reason(network, settings, library):
    sut = OnnxRuntimeSut(network(), "nonsense")
    log = run(settings(), library, sut)
    assert log.ending is Ending.SUT_ERROR
    assert "nonsense" in log.error
