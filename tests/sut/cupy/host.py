"""The processor in a device's place: kernels compiled for it, NumPy's products, and as much of CuPy
as an executor uses."""

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from sut.cupy.sources import source

ALIGNED = 64
COMPILER = shutil.which("g++")
FLAGS = ("-std=c++20", "-O1", "-w", "-Wno-psabi", "-ffp-contract=off", "-shared", "-fPIC")
FLAGS += ("-U_FORTIFY_SOURCE",)  # it takes a jump from stack to stack for a mistake


def compiled(name, factory, *flags, change=lambda text: text, beside=()):
    """The library of ``name``.cu's kernels, once for all processes of a test run.

    ``factory``: pytest's of temporary folders; ``change``: what is done to the source before;
    ``beside``: sources that it needs.
    """
    base = factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    here = Path(__file__).parent
    texts = {other: source(other) for other in beside}
    texts[name] = change(source(name)).replace("extern __shared__", "extern")
    headers = ("cuda_on_cpu.h", "tensor_cores_on_cpu.h", f"{name}.cpp")
    ours = ((here / own).read_text() for own in headers)
    whole = "\n".join([*FLAGS, *flags, *texts.values(), *ours])
    folder = folder / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target := folder / "kernels.so").exists():
            for each, text in texts.items():
                (folder / f"{each}.cu").write_text(text)
            sources = (f"-I{folder}", f"-I{here}", "-x", "c++", str(here / f"{name}.cpp"))
            made = folder / "made.so"
            subprocess.run([COMPILER, *FLAGS, *flags, *sources, "-o", str(made)], check=True)
            made.rename(target)
    return ctypes.CDLL(str(target))


def launch(library, name, grid, threads, arguments):
    """A launch, as CuPy makes it; whole and floating-point numbers of Python are of 4 bytes."""
    held = []
    for x in arguments:
        if isinstance(x, np.ndarray) or x is None:
            held.append(ctypes.c_void_p(None if x is None else x.ctypes.data))
        else:
            kind = ctypes.c_float if isinstance(x, float | np.floating) else ctypes.c_int
            held.append(ctypes.c_int64(x) if isinstance(x, np.int64 | np.uint64) else kind(x))
    pointers = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
    blocks = (ctypes.c_uint * 3)(*(*grid, 1, 1)[:3])
    getattr(library, f"run_{name}")(blocks, threads, pointers)


def run(library, launch_, arrays):
    """One of our ``Launch``es, of an instance that the library has."""
    given = [arrays[x] if isinstance(x, str) else x for x in launch_.arguments]
    name = re.sub(r"\W+", "_", launch_.kernel).strip("_")
    launch(library, name, launch_.grid, launch_.threads, given)


class Host:
    """A ``Machine`` in single precision. While ``graph`` is a list, what is to be done is put there
    instead of being done, as when a stream is captured."""

    number, threads, most_threads = np.float32, 32, 32

    def __init__(self, library):
        self.library, self.graph = library, None

    def array(self, values):
        made = self.empty(values.shape, values.dtype)
        made[...] = values
        return made

    def empty(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        held = np.full(size + ALIGNED, 0x7F, np.uint8)  # a large number: whoever reads it is seen
        start = -held.ctypes.data % ALIGNED
        return held[start : start + size].view(dtype).reshape(shape)

    def multiply(self, x, weights, out):
        def product():
            with np.errstate(all="ignore"):  # of rows that no beam has
                np.matmul(x, np.swapaxes(weights, -1, -2), out=out)

        self._do(product)

    def launch(self, name, grid, threads, arguments):
        self._do(lambda: launch(self.library, name, grid, threads, arguments))

    def _do(self, what):
        what() if self.graph is None else self.graph.append(what)


class Stream:
    """A stream whose graphs are lists of what ``machine`` would have done."""

    def __init__(self):
        self.machine, self.launched = None, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin_capture(self):
        self.machine.graph = []

    def end_capture(self):
        done, self.machine.graph = self.machine.graph, None

        def run(stream):
            self.launched += 1
            for each in done:
                each()

        return SimpleNamespace(launch=run)

    def synchronize(self):
        pass


def resident(network, library):
    """What ``TranslationExecutor`` takes, of a network."""
    from sut.cupy.translator import stored

    event = SimpleNamespace(record=lambda stream: None, synchronize=lambda: None)
    cuda = SimpleNamespace(
        Stream=lambda non_blocking: Stream(),
        Event=lambda disable_timing: event,
        alloc_pinned_memory=bytearray,
        Device=lambda number: nullcontext(),
    )

    def machine(stream):
        stream.machine = Host(library)
        return stream.machine

    cp = SimpleNamespace(cuda=cuda)
    return SimpleNamespace(
        cp=cp, network=network, machine=machine, weights=stored(Host(library), network)
    )
