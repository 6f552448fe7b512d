"""The parts of one benchmark, built from its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np

from engine.cache import Cache
from engine.config import Config, Precision, RemoteSut
from engine.errors import SutError
from engine.paths import cache_dir, resolve
from engine.plan import performance_sample_count
from engine.power import PowerMeter, meter_for
from engine.systems import System, check, gpu_batch, start, without_network
from loadgen import LoadedSet

if TYPE_CHECKING:
    from engine.datasets import Library
    from engine.models import Artefact

# Samples of a data set that nothing counts.
UNREAD_COUNT = 1024
# Largest batch that a processor is timed with.
CPU_BATCH = 64

Say = Callable[[str], None]


@runtime_checkable
class Timed(Protocol):
    """A system whose batches can be timed by themselves."""

    name: str
    max_batch: int

    def service_time_s(self, samples: LoadedSet, size: int, repeats: int = 3) -> float:
        """Median time of one batch of ``size`` samples, in seconds."""


@dataclass(frozen=True)
class Benchmark:
    """Everything that a run needs; ``artefact`` is None for a system without a network.

    ``meter``: of the energy that its performance runs take, None where none is measured.
    """

    config: Config
    cache: Cache
    library: Library
    artefact: Artefact | None
    sut: System
    meter: PowerMeter | None = None

    @property
    def variant(self) -> str:
        """What makes the network differ from the reference one, "" if nothing does."""
        return self.artefact.variant if self.artefact else ""


def build(config: Config, say: Say) -> Benchmark:
    """Prepare data, network and system under test; ``say`` is told what takes time.

    Raises ConfigError for what the user can mend, SutError if the system cannot start.
    """
    from engine.datasets import open_library

    root = cache_dir(config.cache_dir)
    config, cache = _resolved(config, root), Cache(root)
    meter = meter_for(config)
    if (alone := without_network(config)) is not None:
        return Benchmark(config, cache, _unread(config), None, alone, meter)
    check(config)
    from engine import models
    from engine.models.published import as_it_is

    config = replace(config, model=as_it_is(config.model))
    model = config.model
    models.check(model)
    library = open_library(config.dataset, model.task, model.preprocessing, cache, say)
    precision = calibrated_for(config)
    artefact = models.prepare(model, precision, cache, library.calibration, say)
    if artefact.precision == "int8":
        count = precision.calibration_count
        artefact = artefact.calibrated(library.evaluated_too(count), count)
    return Benchmark(config, cache, library, artefact, start(config, artefact, say), meter)


def _resolved(config: Config, root: Path) -> Config:
    """``config`` with the paths that users write made real ones, and the rules' sample count."""

    def real(path: str | None) -> str | None:
        return None if path is None else str(resolve(path, root))

    model, dataset = config.model, config.dataset
    return replace(
        config,
        model=replace(model, path=real(model.path), weights=real(model.weights)),
        dataset=replace(
            dataset,
            path=real(dataset.path),
            calibration_list=real(dataset.calibration_list),
            performance_sample_count=performance_sample_count(config),
        ),
    )


def _unread(config: Config) -> Library:
    from engine.datasets.unread import UnreadLibrary

    own = config.dataset
    loaded = own.performance_sample_count or own.count or UNREAD_COUNT
    unread = UnreadLibrary(own.name, own.count or loaded, min(own.count or loaded, loaded))
    return cast("Library", unread)  # of which a run uses what both have


def calibrated_for(config: Config) -> Precision:
    """The precision of the network here, with the calibration method that suits the system."""
    own = config.precision
    if isinstance(config.sut, RemoteSut):  # its server computes: here is only the reference
        return replace(own, name="fp32")
    if own.calibration_method != "auto":
        return own
    method = "percentile" if config.gpus else "minmax"
    return replace(own, calibration_method=method)


def fit_batch(benchmark: Benchmark, bound_s: float | None, say: Say) -> dict[int, float]:
    """Set the largest batch worth taking, unless the config does; the times measured for it.

    Doubles the batch while it makes a sample cheaper by 2 % or more and one batch takes no
    longer than half of ``bound_s`` (1 s without a bound). Returns seconds by batch size.
    """
    sut, config = benchmark.sut, benchmark.config
    if not isinstance(sut, Timed) or getattr(sut, "fixed_batch", None):
        return {}
    say("timing batch sizes")
    given = getattr(config.sut, "max_batch", None)

    samples = benchmark.library.load(np.arange(min(64, benchmark.library.total_count)))
    limit_s = 1.0 if bound_s is None else bound_s / 2
    times = {1: service_time_s(benchmark, samples, 1)}
    best, size, most = 1, 2, gpu_batch(config) if config.gpus else CPU_BATCH
    while size <= most and given is None:
        times[size] = service_time_s(benchmark, samples, size)
        if times[size] > limit_s or times[size] / size > 0.98 * times[size // 2] / (size // 2):
            break
        best, size = size, 2 * size
    sut.max_batch = given or best
    return times


def service_time_s(benchmark: Benchmark, samples: LoadedSet, size: int) -> float:
    """Seconds for one batch of ``size`` on the idle system; SutError if it fails at that."""
    sut = benchmark.sut
    assert isinstance(sut, Timed)
    try:
        return sut.service_time_s(samples, size)
    except Exception as error:  # the runtime raises types of its own
        raise SutError(f"{sut.name} failed on a batch of {size}: {error}") from error
