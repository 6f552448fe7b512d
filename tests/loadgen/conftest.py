"""A program written for the official interface, as the tests of ``loadgen.mlperf`` need it."""

import queue
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from loadgen import mlperf


@dataclass
class Harness:
    """Answers sample i with the four bytes of i; ``threads`` 0 answers in the callback.

    ``answer`` may replace the answering; ``calls`` is what the callbacks were called with.
    """

    folder: str
    threads: int = 0
    fast: bool = False
    answer: object = None
    lg: object = mlperf
    total: int = 64
    performance: int = 64
    calls: list = field(default_factory=list)
    issued: list = field(default_factory=list)
    jobs: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    table: np.ndarray = field(default_factory=lambda: np.arange(10_000, dtype=np.int32))

    def respond(self, samples, response_cb=None):
        address, lg = self.table.ctypes.data, self.lg
        responses = [lg.QuerySampleResponse(s.id, address + 4 * s.index, 4) for s in samples]
        lg.QuerySamplesComplete(responses, response_cb)

    def issue(self, samples):
        self.calls.append("issue")
        self.issued.append([sample.index for sample in samples])
        if self.answer is not None:
            self.answer(samples)
        elif self.threads:
            self.jobs.put(samples)
        else:
            self.respond(samples)

    def issue_fast(self, ids, indices):
        self.issue([self.lg.QuerySample(*pair) for pair in zip(ids, indices, strict=True)])

    def work(self):
        while (samples := self.jobs.get()) is not None:
            self.respond(samples)

    def settings(self, scenario, mode="PerformanceOnly", **changes):
        settings = self.lg.TestSettings()
        settings.scenario = getattr(self.lg.TestScenario, scenario)
        settings.mode = getattr(self.lg.TestMode, mode)
        short = {"min_duration_ms": 100, "min_query_count": 50, "server_target_qps": 2000}
        for name, value in {**short, "offline_expected_qps": 2000, **changes}.items():
            setattr(settings, name, value)
        return settings

    def run(self, scenario, mode="PerformanceOnly", log=None, **changes):
        lg, settings = self.lg, self.settings(scenario, mode, **changes)
        log = log or lg.LogSettings()
        log.log_output.outdir = self.folder
        log.enable_trace = False
        workers = [threading.Thread(target=self.work) for _ in range(self.threads)]
        for worker in workers:
            worker.start()
        flush = lambda: self.calls.append("flush")  # noqa: E731
        sut = (
            lg.ConstructFastSUT(self.issue_fast, flush)
            if self.fast
            else lg.ConstructSUT(self.issue, flush)
        )
        qsl = lg.ConstructQSL(
            self.total,
            self.performance,
            lambda indices: self.calls.append(("load", indices)),
            lambda indices: self.calls.append(("unload", indices)),
        )
        try:
            lg.StartTestWithLogSettings(sut, qsl, settings, log, "")
        finally:
            lg.DestroyQSL(qsl)
            (lg.DestroyFastSUT if self.fast else lg.DestroySUT)(sut)
            for _ in workers:
                self.jobs.put(None)
            for worker in workers:
                worker.join()
        return mlperf.outcomes()


@pytest.fixture
def harness(tmp_path):
    """Makes a Harness; keyword arguments are its fields."""
    return lambda **fields: Harness(str(tmp_path), **fields)


@pytest.fixture
def missed():
    """Names of the constraints that an outcome missed, for whatever the machine can help."""

    def names(outcome):
        return {row.name for row in outcome.verdict.missed} - {"punctual_generator"}

    return names
