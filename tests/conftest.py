"""Fakes that every package's tests share: a library of numbers and systems that misbehave."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest

from loadgen import Batch, LoadedSet, Queries, Scenario, Settings

# Machines are shared: how long an example takes says nothing.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")

Answer = tuple[int, bytes, dict[str, str]]
"""Of a server: its status, body and headers."""


@contextmanager
def serving(get: Callable[[str], Answer], post: Callable[[str, Message, bytes], Answer]):
    """An HTTP server on this machine, whose connections stay: its address.

    ``get(path)``, ``post(path, headers, body)``: what it answers.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments):
            pass

        def answer(self, status, body, headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(*get(self.path))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.headers["Client"] = f"{self.client_address}"
            self.answer(*post(self.path, self.headers, body))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(name="serving")
def _serving():
    return serving


@pytest.fixture
def press_ctrl_c():
    """``press_ctrl_c(after_s)``: SIGINT to this process; one that comes late fails its test."""
    timers = []

    def press(after_s):
        timers.append(threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()

    yield press
    try:
        for timer in timers:
            timer.join()
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came after the test that pressed it")


@dataclass
class NumberLibrary:
    """Sample i is the number i."""

    total_count: int = 64
    performance_count: int = 64
    name: str = "numbers"
    loads: list[np.ndarray] = field(default_factory=list)

    def load(self, indices):
        self.loads.append(np.asarray(indices))
        return LoadedSet(np.asarray(indices), (np.asarray(indices, np.float32)[:, None],))

    def unload(self, indices):
        pass


@dataclass
class ScriptedSut:
    """Do to each batch what ``answer`` does; by default answer it with its own indices."""

    answer: Callable[[Batch], None] = lambda batch: batch.complete(batch.indices.astype(np.int64))
    workers: int = 1
    max_batch: int = 1
    max_wait_us: float = 0.0
    name: str = "scripted"
    loaded: int = 0

    def load(self, samples):
        self.loaded += 1

    def unload(self):
        self.loaded -= 1

    def serve(self, queries: Queries, worker: int):
        while (batch := queries.take(self.max_batch, self.max_wait_us)) is not None:
            self.answer(batch)


class Stalling:
    """Answer at once, but sleep for ``stall_s`` before the batch with number ``at``."""

    def __init__(self, at: int, stall_s: float):
        self.at, self.stall_s, self.seen = at, stall_s, 0

    def __call__(self, batch):
        if self.seen == self.at:
            time.sleep(self.stall_s)
        self.seen += 1
        batch.complete(batch.indices)


@pytest.fixture(scope="session", autouse=True)
def _lightly():
    """Runs collect what is new only: pytest's own heap takes a tenth of a second each time."""
    light = SimpleNamespace(collect=lambda: gc.collect(0), freeze=gc.freeze, unfreeze=gc.unfreeze)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loadgen.drive.gc", light)
        yield


@pytest.fixture
def library():
    return NumberLibrary()


@pytest.fixture
def null_sut():
    return ScriptedSut()


@pytest.fixture
def stalling_sut():
    return lambda at, stall_s: ScriptedSut(answer=Stalling(at, stall_s))


@pytest.fixture
def failing_sut():
    def give_up(batch):
        if batch.ids[0] >= 10:
            raise RuntimeError("the accelerator is on fire")
        batch.complete(batch.indices)

    return ScriptedSut(answer=give_up)


@pytest.fixture
def settings():
    """Settings of a short run; keyword arguments override."""

    def make(scenario: str = "server", **changes):
        defaults = {
            "server": {"target_qps": 2000.0, "bound_ms": 50.0},
            "offline": {"target_qps": 2000.0},
            "multi_stream": {"samples_per_query": 4},
            "single_stream": {},
        }[scenario]
        # Machines that run tests are busy: a late wake-up must not decide what is tested.
        base = {
            "min_duration_ms": 100.0,
            "min_query_count": 50,
            "confidence": None,
            "late_ms": 500.0,
        }
        return Settings(**{"scenario": Scenario(scenario), **base, **defaults, **changes})

    return make


@pytest.fixture(scope="session")
def scripted_sut():
    return ScriptedSut


@pytest.fixture(scope="session")
def library_of():
    return NumberLibrary
