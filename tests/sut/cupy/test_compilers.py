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
import os, signal, time
import cupy

def create_handle():
    if os.path.exists("taken"):
        raise RuntimeError("the device is in another process's hands")
    return 7

class data_type:
    HALF = FLOAT = INT32 = None
class heur_mode:
    A = FALLBACK = None

class pygraph:
    def __init__(self, handle, **kinds):
        assert handle == 7
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
        time.sleep(0.05)
        self.built = index
    def serialize(self):
        stopped = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        return f"{self.built} {os.getpid()} {cupy.cuda.Device.used} {stopped}".encode()

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
    """For device 1, with 2 GiB left, of a machine with two cores."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1])
    device = SimpleNamespace(id=1, mem_info=(2 << 30, 80 << 30))
    cp = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device))
    with closing(Compilers(cp)) as made:
        yield made


def _problem(batch):
    filters, pads = (8, 1, 1), (0, 0, 0, 0)
    return Problem((batch, 8, 4, 4), filters, 1, pads, "fp16", "fp16", False, None, None)


@pytest.mark.timeout(60)
def test_problems_are_shared_out_and_what_fails_is_missing(made_up, compilers):
    tuned = [_problem(batch) for batch in range(6)]
    found = compilers.compile([(problem, None) for problem in tuned])
    likeliest = {f"eng{plan}" for plan in (0, 2, 3, 4, 5)}
    assert found.keys() == {(problem, name) for problem in tuned for name in likeliest}
    named, other = _problem(7), _problem(8)
    more = compilers.compile([(named, "eng8"), (other, "not for this one")])
    assert more.keys() == {(named, "eng8"), *((other, name) for name in likeliest)}
    told = {key: plan.decode().split() for key, plan in (found | more).items()}
    assert all(f"eng{plan}" == name for (_, name), (plan, *_) in told.items())
    assert len({process for _, process, *_ in told.values()}) == 2
    assert {tuple(rest) for _, _, *rest in told.values()} == {("1", "False")}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reason", ["taken", "dies"])
def test_without_processes_there_is_nothing_and_no_word(made_up, compilers, reason, capfd):
    (made_up / reason).touch()
    for _ in range(2):
        assert compilers.compile([(_problem(1), None), (_problem(2), None)]) == {}
    assert capfd.readouterr() == ("", "")


KILLED = """
import os, sys
from types import SimpleNamespace
import psutil
from sut.cupy.compilers import Compilers
from sut.cupy.convolution import Problem

if __name__ == "__main__":
    psutil.Process.cpu_affinity = lambda self: [0, 1]
    device = SimpleNamespace(id=0, mem_info=(2 << 30, 2 << 30))
    problem = Problem((1, 8, 4, 4), (8, 1, 1), 1, (0, 0, 0, 0), "fp16", "fp16", False, None, None)
    own = Compilers(SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device)))
    assert own.compile([(problem, "eng0"), (problem, None)])
    with open("processes", "w") as file:
        print(*own._pool._processes, file=file)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.timeout(60)
def test_no_process_outlives_the_one_that_waits(made_up):
    script = made_up / "killed.py"
    script.write_text(KILLED)
    path = os.pathsep.join([str(made_up), *sys.path])
    ended = subprocess.run([sys.executable, script], env=os.environ | {"PYTHONPATH": path})
    assert ended.returncode == -signal.SIGKILL
    numbers = [int(x) for x in (made_up / "processes").read_text().split()]
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


@pytest.mark.parametrize(("problems", "cores", "gib"), [(0, 2, 2), (1, 2, 2), (9, 1, 2), (9, 2, 1)])
def test_one_process_would_gain_nothing(monkeypatch, compilers, problems, cores, gib):
    monkeypatch.setattr("sut.cupy.compilers.ProcessPoolExecutor", None)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0] * cores)
    compilers._device.mem_info = gib << 30, 80 << 30
    assert compilers.compile([(_problem(batch), None) for batch in range(problems)]) == {}
