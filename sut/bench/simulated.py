"""Simulated fleets: how long a server run of so many queries takes in real time."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from loadgen import Scenario, Settings, judge, run
from loadgen.samples import NoSamples
from sut.curve import ServiceCurve
from sut.simulated import SimulatedSut

# Each at about 80 % of what the fleet can do.
FLEETS: dict[str, tuple[Callable[[], SimulatedSut], float]] = {
    "1 worker, no batches": (lambda: SimulatedSut(ServiceCurve((1,), (1.0,))), 800),
    "8 workers, batches of up to 32": (lambda: _fleet(8), 22_000),
    "1000 workers, batches of up to 32": (lambda: _fleet(1000), 2_800_000),
}


def _fleet(workers: int) -> SimulatedSut:
    return SimulatedSut(ServiceCurve((1, 32), (2.0, 9.0)), workers=workers, max_batch=32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--queries", type=int, nargs="+", default=[270_336, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)


def show(asked: argparse.Namespace) -> None:
    """Print a row for each fleet and number of queries."""
    print(f"{'fleet':34} {'queries':>10} {'run, s':>8} {'with its verdict, s':>20}")
    for name, (make, rate_qps) in FLEETS.items():
        for queries in asked.queries:
            rounds = [timed(make(), rate_qps, queries) for _ in range(asked.rounds)]
            ran, judged = (statistics.median(times) for times in zip(*rounds, strict=True))
            print(f"{name:34} {queries:10,} {ran:8.3g} {judged:20.3g}", flush=True)
    print(f"median of {asked.rounds} rounds; a run includes the drawing of its schedule.")


def timed(sut: SimulatedSut, rate_qps: float, queries: int) -> tuple[float, float]:
    """Seconds for a run of ``queries``, and for it and its verdict."""
    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=rate_qps,
        bound_ms=15.0,
        min_duration_ms=0,
        min_query_count=queries,
    )
    begin = time.perf_counter()
    log = run(settings, NoSamples(), sut)
    ran = time.perf_counter() - begin
    judge(log)
    return ran, time.perf_counter() - begin
