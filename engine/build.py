"""The parts of one benchmark, built from its config."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
import psutil

from engine.cache import Cache
from engine.config import Config, CupySut, OnnxRuntimeSut, SimulatedSut
from engine.errors import ConfigError, SutError
from engine.paths import cache_dir, resolve
from engine.plan import performance_sample_count
from loadgen import LoadedSet, SimulatedSystem, SystemUnderTest

if TYPE_CHECKING:
    from engine.datasets import Library
    from engine.models import Artefact

# Samples of a data set that nothing counts.
UNREAD_COUNT = 1024
# Largest batch that a processor and a GPU are timed with.
CPU_BATCH, GPU_BATCH = 64, 256

Say = Callable[[str], None]
System = SystemUnderTest | SimulatedSystem


@runtime_checkable
class Timed(Protocol):
    """A system whose batches can be timed by themselves."""

    name: str
    max_batch: int

    def service_time_s(self, samples: LoadedSet, size: int, repeats: int = 3) -> float:
        """Median time of one batch of ``size`` samples, in seconds."""


@dataclass(frozen=True)
class Benchmark:
    """Everything that a run needs; ``artefact`` is None for a system without a network."""

    config: Config
    cache: Cache
    library: Library
    artefact: Artefact | None
    sut: System


def build(config: Config, say: Say) -> Benchmark:
    """Prepare data, network and system under test; ``say`` is told what takes time.

    Raises ConfigError for what the user can mend, SutError if the system cannot start.
    """
    from engine.datasets import open_library

    root = cache_dir(config.cache_dir)
    config, cache = _resolved(config, root), Cache(root)
    if not isinstance(config.sut, OnnxRuntimeSut | CupySut):
        return Benchmark(config, cache, _unread(config), None, _without_network(config))
    _check_precision(config)
    if isinstance(config.sut, CupySut):
        _check_devices(config.sut)
    from engine.models import prepare

    model = config.model
    library = open_library(config.dataset, model.task, model.preprocessing, cache, say)
    artefact = prepare(model, config.precision, cache, library.calibration, say)
    start = _cupy if isinstance(config.sut, CupySut) else _onnxruntime
    return Benchmark(config, cache, library, artefact, start(config, artefact))


PRECISIONS = {"onnxruntime": ("fp32", "int8"), "cupy": ("fp16", "int8")}
"""What each system computes in."""


def _check_precision(config: Config) -> None:
    able = PRECISIONS[config.sut.kind]
    if config.precision.name not in able:
        raise ConfigError(
            f"sut={config.sut.name} does not compute in precision={config.precision.name}: use "
            f"precision={' or precision='.join(able)}, or another sut."
        )


def _check_devices(own: CupySut) -> None:
    """Say what is missing before a network is built for it."""
    from sut.cupy.needs import modules

    try:
        modules(own.devices)
    except RuntimeError as error:
        raise SutError(str(error)) from error


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
            performance_sample_count=performance_sample_count(config),
        ),
    )


def usable_cores() -> int:
    """Physical cores that this process may run on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, psutil.cpu_count(logical=False) or 1))


def _without_network(config: Config) -> System:
    own = config.sut
    assert not isinstance(own, CupySut)
    if config.mode in ("accuracy", "both"):
        raise ConfigError(
            f"mode={config.mode} needs a system that runs a network; sut={own.name} has no "
            "answers to score: use mode=performance, or another sut."
        )
    if isinstance(own, SimulatedSut):
        return _simulated(own)
    from sut.null import NullSut as Sut

    return Sut(
        name=own.name,
        workers=own.workers,
        max_batch=own.max_batch or 1,
        delay_us=getattr(own, "delay_us", 0.0),
    )


def _unread(config: Config) -> Library:
    from engine.datasets.unread import UnreadLibrary

    own = config.dataset
    loaded = own.performance_sample_count or own.count or UNREAD_COUNT
    unread = UnreadLibrary(own.name, own.count or loaded, min(own.count or loaded, loaded))
    return cast("Library", unread)  # of which a run uses what both have


def _simulated(own: SimulatedSut) -> System:
    from sut import simulated
    from sut.curve import ServiceCurve

    try:
        if own.profile is not None:
            curve = ServiceCurve.read(Path(own.profile).expanduser())
        else:
            curve = ServiceCurve(tuple(own.batch), tuple(own.service_ms))
    except OSError as error:
        raise ConfigError(f"sut.profile={own.profile}: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"sut=simulated: {error}.") from error
    names = [field.name for field in fields(simulated.Fortune)]
    return simulated.SimulatedSut(
        curve,
        name=own.name,
        workers=own.workers,
        max_batch=own.max_batch,
        max_wait_us=own.max_wait_us,
        network_ms=own.network_ms,
        fortune=simulated.Fortune(**{name: getattr(own, name) for name in names}),
    )


def _onnxruntime(config: Config, artefact: Artefact) -> System:
    from sut import onnxruntime

    own = config.sut
    assert isinstance(own, OnnxRuntimeSut)
    try:
        return onnxruntime.OnnxRuntimeSut(
            artefact.path,
            artefact.output.name,
            name=own.name,
            workers=own.workers,
            threads=own.threads or max(1, usable_cores() // own.workers),
            max_batch=own.max_batch or 1,
            max_wait_us=own.max_wait_us,
            graph_optimization=own.graph_optimization,
        )
    except RuntimeError as error:
        raise SutError(str(error)) from error


def _cupy(config: Config, artefact: Artefact) -> System:
    from sut import cupy

    own = config.sut
    assert isinstance(own, CupySut)
    try:
        return cupy.CupySut(
            artefact.path,
            artefact.output.name,
            name=own.name,
            devices=own.devices,
            streams=own.streams,
            max_batch=own.max_batch or GPU_BATCH,
            max_wait_us=own.max_wait_us,
            start_from_device=own.start_from_device,
            plans=cache_dir(config.cache_dir) / "cupy_plans.json",
        )
    except RuntimeError as error:
        raise SutError(str(error)) from error


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
    size, most = 2, GPU_BATCH if isinstance(config.sut, CupySut) else CPU_BATCH
    while size <= most and given is None:
        times[size] = service_time_s(benchmark, samples, size)
        if times[size] > limit_s or times[size] / size > 0.98 * times[size // 2] / (size // 2):
            break
        sut.max_batch = size
        size *= 2
    return times


def service_time_s(benchmark: Benchmark, samples: LoadedSet, size: int) -> float:
    """Seconds for one batch of ``size`` on the idle system; SutError if it fails at that."""
    sut = benchmark.sut
    assert isinstance(sut, Timed)
    try:
        return sut.service_time_s(samples, size)
    except Exception as error:  # the runtime raises types of its own
        raise SutError(f"{sut.name} failed on a batch of {size}: {error}") from error
