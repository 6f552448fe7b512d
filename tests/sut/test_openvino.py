"""What is OpenVINO's own about its system."""

import signal
import subprocess
import sys

import pytest

from sut.openvino import HINTS, OpenVinoSut, computes_in


@pytest.fixture
def sut(network):
    pytest.importorskip("openvino")
    return OpenVinoSut(network(), "y", workers=2, threads=1)


def test_single_precision_means_single_precision(sut):
    """Where a processor has bfloat16, OpenVINO computes in that unless it is told not to."""
    from openvino import Type

    compiled = sut.requests[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == Type.f32


@pytest.mark.parametrize("precision", HINTS)
def test_sixteen_bits_are_computed_or_refused(network, precision):
    pytest.importorskip("openvino")
    assert computes_in("fp32") and computes_in("int8")
    if not computes_in(precision):
        with pytest.raises(RuntimeError, match=f"computes in f32 .* not in {precision}"):
            OpenVinoSut(network(), "y", precision=precision)
        return
    compiled = OpenVinoSut(network(), "y", precision=precision).requests[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == HINTS[precision]


def test_each_worker_has_a_request_and_a_stream_of_its_own(sut):
    assert len({id(request) for request in sut.requests}) == 2
    compiled = sut.requests[0].get_compiled_model()
    assert compiled.get_property("NUM_STREAMS") == 2
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2


def test_a_wrong_output_name_is_refused_with_those_there_are(network):
    pytest.importorskip("openvino")
    with pytest.raises(RuntimeError, match="has no output nonsense: it has y"):
        OpenVinoSut(network(), "nonsense")


def test_ctrl_c_still_works_where_another_thread_dropped_the_system(network):
    pytest.importorskip("openvino")
    program = (
        "import os, signal, sys, threading\n"
        "from sut.openvino import OpenVinoSut\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "held = [OpenVinoSut(sys.argv[1], 'y')]\n"
        "thread = threading.Thread(target=held.clear)\n"
        "thread.start()\n"
        "thread.join()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    asked = [sys.executable, "-c", program, str(network())]
    ended = subprocess.run(asked, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in ended.stderr


def test_without_the_package_the_message_says_how_to_get_it(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tailbound\[openvino\]'"):
        OpenVinoSut(network(), "y")
