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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen import Ending, LoadedSet, Scenario, Settings, run
from sut.network import NetworkSut
from sut.onnxruntime import OnnxRuntimeSut
from sut.openvino import OpenVinoSut

MODELS = {"mobilenet": ("mobilenet_v1", -1), "resnet50": ("resnet50_v1_5", 0)}
PRECISIONS = ("fp32", "int8")
SYSTEMS = ("onnxruntime", "openvino")
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
    """Medians over the rounds, in samples/s; ``ratio``: that of each round's two figures."""

    bare: float
    loadgen: float
    ratio: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=15, help="of each, in turn")
    parser.add_argument("--seconds", type=float, default=1.0, help="that one round takes, about")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)


def show(asked: argparse.Namespace) -> None:
    """Print one line for each case."""
    print(f"{'':31} {'batch':>5} {'workers':>8} {'bare':>9} {'loadgen':>9} {'ratio':>6}")
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
                f"{found.loadgen:9.1f} {found.ratio:6.3f}",
                flush=True,
            )
    print("Medians of rounds in turn; ratio: the median of each round's own.")


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
    from engine.build import usable_cores

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


def bare(own: Sequence[Call], samples: LoadedSet, batch: int, batches: int) -> float:
    """Seconds for so many batches, shared out among the calls as each gets free."""
    (array,) = samples.inputs
    places = len(array) // batch
    numbers = itertools.count()

    def work(call: Call) -> None:
        while (number := next(numbers)) < batches:
            at = number % places * batch
            call(array[at : at + batch])

    with ThreadPoolExecutor(len(own)) as pool:
        began = time.perf_counter()
        list(pool.map(work, own))
        return time.perf_counter() - began


def timed_rate(own: Sequence[Call], samples: LoadedSet, batch: int, seconds: float) -> float:
    """Samples/s of the bare loop, measured for ``seconds`` or so."""
    batches = len(own)
    while (took := bare(own, samples, batch, batches)) < seconds:
        batches = max(2 * batches, round(batches * seconds / took))
    return batches * batch / took


def compare(
    sut: NetworkSut, own: Sequence[Call], samples: LoadedSet, rounds: int, seconds: float
) -> Compared:
    """The bare loop and the load generator on the same work, in turn; ``own``: see ``calls``."""
    batch = sut.max_batch
    rate = timed_rate(own, samples, batch, min(seconds, TRIAL_S))
    batches = max(sut.workers, round(rate * seconds / batch))
    found = []
    for number in range(rounds):
        rates = {}
        for name in ("bare", "ours") if number % 2 else ("ours", "bare"):
            if name == "bare":
                rates[name] = batches * batch / bare(own, samples, batch, batches)
            else:
                rates[name] = loadgen_rate(sut, samples, batches * batch, seed=number)
        found.append((rates["bare"], rates["ours"]))
    return Compared(
        bare=statistics.median(bare for bare, _ in found),
        loadgen=statistics.median(ours for _, ours in found),
        ratio=statistics.median(ours / bare for bare, ours in found),
    )


def loadgen_rate(sut: NetworkSut, samples: LoadedSet, count: int, seed: int) -> float:
    """Samples/s of an offline run of ``count`` samples, in random order."""
    settings = Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_duration_ms=0.0,
        min_query_count=count,
        sample_index_seed=seed,
    )
    log = run(settings, Loaded(samples), sut)
    if log.ending is not Ending.COMPLETE:
        raise RuntimeError(f"{sut.name} failed: {log.error}")
    return count / (float(log.completed_ns.max()) / 1e9)


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
