"""The processor's systems, offline, beside a bare loop over the same runtime session.

Both answer the same number of samples at the same batch, workers and threads, in turn within one
process. The bare loop is what a user would write: the runtime's own call on consecutive samples,
no gathering, no records.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine import systems
from engine.suts import PROCESSORS as SYSTEMS
from engine.system import usable_cores
from loadgen import Ending, LoadedSet, Scenario, Settings, run
from sut.network import NetworkSut
from sut.onnxruntime import OnnxRuntimeSut
from sut.openvino import OpenVinoSut

MODELS = {"mobilenet": ("mobilenet_v1", -1), "resnet50": ("resnet50_v1_5", 0)}
PRECISIONS = [
    precision
    for precision in systems.PRECISIONS[SYSTEMS[0]]
    if all(precision in systems.PRECISIONS[system] for system in SYSTEMS)
]
"""Those that all of them compute in."""

BATCHES = (1, 2, 4, 8, 16, 32)
SAMPLES = 128
TRIAL_S = 0.5

Call = Callable[[NDArray[np.generic]], object]
"""Runs a block of consecutive samples, straight through the runtime's own interface."""


@dataclass(frozen=True)
class Shape:
    """How a processor is shared out."""

    batch: int
    workers: int
    threads: int


@dataclass(frozen=True)
class Compared:
    """Medians over the rounds, in samples/s; ``ratio``: that of each round's two figures.

    ``cpu_ratio``: the same of the samples for a second of processor time, which other programs
    on the machine disturb less.
    """

    bare: float
    loadgen: float
    ratio: float
    cpu_ratio: float


@dataclass(frozen=True)
class Cost:
    """What some samples took, in seconds: on the wall, and of all processors together."""

    wall_s: float
    cpu_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=15, help="of each, in turn")
    parser.add_argument("--seconds", type=float, default=1.0, help="that one round takes, about")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)


def show(asked: argparse.Namespace) -> None:
    """Print one line for each case."""
    print(f"{'':31} {'batch':>5} {'workers':>8} {'bare':>9} {'loadgen':>9} {'ratio':>6} {'cpu':>6}")
    print(f"{'model':10} {'precision':9} {'system':10} {'':>5} {'xthreads':>8} {'samples/s':>19}")
    for model, precision in itertools.product(asked.models, asked.precisions):
        path, output, samples = _prepared(model, precision)
        for system in asked.systems:
            if importlib.util.find_spec(system) is None:
                print(f"{model:10} {precision:9} {system:10} is not installed")
                continue
            shape = best_shape(system, path, output, samples)
            sut = make(system, path, output, shape)
            found = compare(sut, calls(sut, output), samples, asked.rounds, asked.seconds)
            print(
                f"{model:10} {precision:9} {system:10} {shape.batch:5} "
                f"{f'{shape.workers}x{shape.threads}':>8} {found.bare:9.1f} "
                f"{found.loadgen:9.1f} {found.ratio:6.3f} {found.cpu_ratio:6.3f}",
                flush=True,
            )
    print("Medians of rounds in turn. Ratio: of each round's own throughputs; cpu: of the samples")
    print("for a second of processor time. 1: the load generator costs nothing.")


def _prepared(model: str, precision: str) -> tuple[Path, str, LoadedSet]:
    """The network's file, its output, and samples: those of the benchmark itself."""
    from engine import config
    from engine.cache import Cache
    from engine.datasets import open_library
    from engine.models import prepare
    from engine.models.reference import REFERENCES
    from engine.paths import cache_dir

    kind, offset = MODELS[model]
    preprocessing = REFERENCES[kind].preprocessing
    cache = Cache(cache_dir())
    data = config.Dataset("synthetic", "synthetic", performance_sample_count=SAMPLES)
    library = open_library(data, "image_classification", preprocessing, cache, _silent)
    network = config.Model(kind, model, label_offset=offset, preprocessing=preprocessing)
    artefact = prepare(network, config.Precision(precision), cache, library.calibration)
    return artefact.path, artefact.output.name, library.load(np.arange(SAMPLES))


def _silent(message: str) -> None:
    pass


def best_shape(system: str, path: Path, output: str, samples: LoadedSet) -> Shape:
    """The batch, workers and threads with which the bare loop is fastest."""
    cores = usable_cores()
    rates = {}
    for workers, threads in {(1, cores), (cores, 1)}:
        sut = make(system, path, output, Shape(1, workers, threads))
        own = calls(sut, output)
        for batch in BATCHES:
            bare(own, samples, batch, workers)  # its first runs allocate
            rates[Shape(batch, workers, threads)] = timed_rate(own, samples, batch, TRIAL_S)
    return max(rates, key=lambda shape: rates[shape])


def make(system: str, path: Path, output: str, shape: Shape) -> NetworkSut:
    """The system under test in that shape."""
    made = OnnxRuntimeSut if system == "onnxruntime" else OpenVinoSut
    return made(path, output, workers=shape.workers, threads=shape.threads, max_batch=shape.batch)


def calls(sut: NetworkSut, output: str) -> list[Call]:
    """For each worker of ``sut``, the runtime's own call on the very session that it uses."""
    if isinstance(sut, OnnxRuntimeSut):
        name = sut.sessions[0].get_inputs()[0].name
        return [partial(_onnxruntime, session, output, name) for session in sut.sessions]
    assert isinstance(sut, OpenVinoSut)
    return [partial(_openvino, request) for request in sut.requests]


def _onnxruntime(session: Any, output: str, name: str, block: NDArray[np.generic]) -> None:
    session.run([output], {name: block})


def _openvino(request: Any, block: NDArray[np.generic]) -> None:
    request.infer([block], share_inputs=True, share_outputs=True)


def bare(own: Sequence[Call], samples: LoadedSet, batch: int, batches: int) -> Cost:
    """So many batches, shared out among the calls as each gets free."""
    (array,) = samples.inputs
    places = len(array) // batch
    numbers = itertools.count()

    def work(call: Call) -> None:
        while (number := next(numbers)) < batches:
            at = number % places * batch
            call(array[at : at + batch])

    with ThreadPoolExecutor(len(own)) as pool:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        list(pool.map(work, own))
        return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def timed_rate(own: Sequence[Call], samples: LoadedSet, batch: int, seconds: float) -> float:
    """Samples/s of the bare loop, measured for ``seconds`` or so."""
    batches = len(own)
    while (took := bare(own, samples, batch, batches).wall_s) < seconds:
        batches = max(2 * batches, round(batches * seconds / took))
    return batches * batch / took


def compare(
    sut: NetworkSut, own: Sequence[Call], samples: LoadedSet, rounds: int, seconds: float
) -> Compared:
    """The bare loop and the load generator on the same work, in turn; ``own``: see ``calls``."""
    batch = sut.max_batch
    rate = timed_rate(own, samples, batch, min(seconds, TRIAL_S))
    batches = max(sut.workers, round(rate * seconds / batch))
    count = batches * batch
    found = []
    for number in range(rounds):
        if number % 2:
            plain = bare(own, samples, batch, batches)
            ours = through_loadgen(sut, samples, count, seed=number)
        else:
            ours = through_loadgen(sut, samples, count, seed=number)
            plain = bare(own, samples, batch, batches)
        found.append((plain, ours))
    return Compared(
        bare=count / statistics.median(plain.wall_s for plain, _ in found),
        loadgen=count / statistics.median(ours.wall_s for _, ours in found),
        ratio=statistics.median(plain.wall_s / ours.wall_s for plain, ours in found),
        cpu_ratio=statistics.median(plain.cpu_s / ours.cpu_s for plain, ours in found),
    )


def through_loadgen(sut: NetworkSut, samples: LoadedSet, count: int, seed: int) -> Cost:
    """An offline run of ``count`` samples, in random order."""
    settings = Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_duration_ms=0.0,
        min_query_count=count,
        sample_index_seed=seed,
    )
    log = run(settings, Loaded(samples), sut, meter=ProcessorTime())
    if log.ending is not Ending.COMPLETE:
        raise RuntimeError(f"{sut.name} failed: {log.error}")
    return Cost(float(log.completed_ns.max()) / 1e9, cast(float, log.metered))


class ProcessorTime:
    """Meters the processor time of this process, in seconds, while the queries are answered."""

    def start(self) -> None:
        """Right before the clock starts: what a run prepares is not part of it."""
        self._began_s = time.process_time()

    def stop(self) -> float:
        """What was spent since then."""
        return time.process_time() - self._began_s


class Loaded:
    """A library whose samples are in memory already."""

    name = "loaded"

    def __init__(self, samples: LoadedSet) -> None:
        self.total_count = self.performance_count = len(samples.indices)
        self._samples = samples

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """All of them."""
        return self._samples

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """They stay."""
