"""Compiling in several processes, each of which finds a CuPy and a cuDNN made up here."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace

import psutil
import pytest

from sut.cupy.compilers import Compilers
from sut.cupy.convolution import Problem

CUPY = """
class cuda:
    class runtime:
        getDeviceCount = staticmethod(lambda: 2)
    class Device:
        used = None
        def __init__(self, number):
            self.number = number
        def use(self):
            cuda.Device.used = self.number
"""

CUDNN = """
import os, time
import cupy

def create_handle():
    if os.path.exists("taken"):
        raise RuntimeError("the device is in another process's hands")
    if os.path.exists("alone"):
        os.mkdir("first")
    return 7

class data_type:
    HALF = FLOAT = INT32 = None
class heur_mode:
    A = FALLBACK = None

class pygraph:
    def __init__(self, handle, **kinds):
        pass
    def tensor(self, **given):
        return Tensor()
    conv_fprop = mul = add = relu = tensor
    def validate(self):
        pass
    build_operation_graph = validate
    def create_execution_plans(self, modes):
        pass
    def get_execution_plan_count(self):
        return 9
    def get_plan_name_at_index(self, index):
        return f"eng{index}"
    def build_plan_at_index(self, index):
        if index == 1:
            raise RuntimeError("not on this device")
        if os.path.exists("dies"):
            os._exit(1)
        print("what a library says")
        time.sleep(60 if os.path.exists("waits") else 0.05)
        self.built = index
    def serialize(self):
        return f"{self.built} {os.getpid()} {cupy.cuda.Device.used}".ljust(100_000).encode()

class Tensor:
    def set_output(self, *given):
        return self
    set_data_type = set_dim = set_stride = set_uid = set_output
"""


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text(CUPY)
    (tmp_path / "cudnn.py").write_text(CUDNN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def compilers(monkeypatch):
    """For device 1, with room for two, of a machine with two cores."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1])
    device = SimpleNamespace(id=1, mem_info=(6 << 30, 80 << 30))
    cp = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device))
    with closing(Compilers(cp)) as made:
        yield made


def _problem(batch):
    filters, pads = (8, 1, 1), (0, 0, 0, 0)
    return Problem((batch, 8, 4, 4), filters, 1, pads, "fp16", "fp16", False, None, None)


@pytest.mark.timeout(60)
def test_problems_are_shared_out_and_what_fails_is_missing(made_up, compilers):
    tuned = [_problem(batch) for batch in range(12)]
    found = compilers.compile([(problem, None) for problem in tuned])
    likeliest = {f"eng{plan}" for plan in (0, 2, 3, 4, 5)}
    assert found.keys() == {(problem, name) for problem in tuned for name in likeliest}
    named, other = _problem(17), _problem(18)
    more = compilers.compile([(named, "eng8"), (other, "not for this one")])
    assert more.keys() == {(named, "eng8"), *((other, name) for name in likeliest)}
    told = {key: plan.decode().split() for key, plan in (found | more).items()}
    assert all(f"eng{plan}" == name for (_, name), (plan, *_) in told.items())
    assert len({process for _, process, _ in told.values()}) == 2
    assert {device for *_, device in told.values()} == {"1"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reason", ["taken", "dies"])
def test_without_processes_there_is_nothing_and_no_word(made_up, compilers, reason, capfd):
    (made_up / reason).touch()
    for _ in range(2):
        assert compilers.compile([(_problem(batch), None) for batch in range(8)]) == {}
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(60)
def test_what_ends_leaves_its_share_to_the_others(made_up, compilers):
    (made_up / "alone").touch()
    wanted = [(_problem(batch), "eng0") for batch in range(12)]
    found = compilers.compile(wanted)
    assert len(found) >= 11  # what the one that ended had been given is missing
    assert len({plan.split()[1] for plan in found.values()}) == 1


def test_what_cannot_be_started_is_nothing(monkeypatch, compilers):
    def refused(*given, **more):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("sut.cupy.compilers.Popen", refused)
    assert compilers.compile([(_problem(batch), None) for batch in range(8)]) == {}


WAITS = """
import os, sys
from contextlib import closing
from types import SimpleNamespace
import psutil
from sut.cupy.compilers import Compilers
from sut.cupy.convolution import Problem

psutil.Process.cpu_affinity = lambda self: [0, 1]
device = SimpleNamespace(id=0, mem_info=(6 << 30, 6 << 30))
problem = Problem((1, 8, 4, 4), (8, 1, 1), 1, (0, 0, 0, 0), "fp16", "fp16", False, None, None)
with closing(Compilers(SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device)))) as own:
    own._start(2)
    print(*(process.pid for process in own._processes), flush=True)
    own.compile([(problem, None)] * 9)
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("first_s", [0.0, 1.5])
@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_one_that_waits(made_up, ends, first_s):
    """Who waits for them is killed, or interrupted twice, as they start or when they are busy."""
    (made_up / ("busy" if ends is signal.SIGKILL else "waits")).touch()
    script = made_up / "script.py"
    script.write_text(WAITS)
    path = os.pathsep.join([str(made_up), *sys.path])
    waits = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with waits:
        numbers = [int(x) for x in waits.stdout.readline().split()]
        time.sleep(first_s)
        waits.send_signal(ends)
        time.sleep(0.05)
        waits.send_signal(ends)
        assert waits.wait(20) == -ends
    assert len(numbers) == 2
    deadline = time.monotonic() + 20
    while (left := [x for x in numbers if _runs(x)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for number in left:
        os.kill(number, signal.SIGKILL)
    assert not left


def _runs(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("problems", "cores", "gib"), [(0, 2, 6), (1, 2, 6), (7, 2, 6), (9, 1, 6), (9, 2, 5), (9, 2, 3)]
)
def test_one_process_would_gain_nothing(monkeypatch, compilers, problems, cores, gib):
    monkeypatch.setattr("sut.cupy.compilers.Popen", None)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0] * cores)
    compilers._device.mem_info = gib << 30, 80 << 30
    assert compilers.compile([(_problem(batch), None) for batch in range(problems)]) == {}
