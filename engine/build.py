"""The parts of one benchmark, built from its config."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import psutil

from engine.cache import Cache
from engine.config import Config, NullSut, OnnxRuntimeSut, OpenVinoSut, SimulatedSut
from engine.errors import ConfigError, SutError
from engine.paths import cache_dir, resolve
from engine.plan import performance_sample_count
from loadgen import LoadedSet, SimulatedSystem, SystemUnderTest
from sut.network import NetworkSut

if TYPE_CHECKING:
    from engine.datasets import Library
    from engine.models import Artefact

# Samples of a data set that nothing counts.
UNREAD_COUNT = 1024

Say = Callable[[str], None]
System = SystemUnderTest | SimulatedSystem


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
    if isinstance(config.sut, NullSut | SimulatedSut):
        return Benchmark(config, cache, _unread(config), None, _without_network(config))
    from engine.models import prepare

    model = config.model
    library = open_library(config.dataset, model.task, model.preprocessing, cache, say)
    artefact = prepare(model, config.precision, cache, library.calibration, say)
    return Benchmark(config, cache, library, artefact, _with_network(config.sut, artefact))


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
    if config.mode != "performance":
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


def _with_network(own: OnnxRuntimeSut | OpenVinoSut, artefact: Artefact) -> System:
    shared: dict[str, Any] = {
        "name": own.name,
        "workers": own.workers,
        "threads": own.threads or max(1, usable_cores() // own.workers),
        "max_batch": own.max_batch or 1,
        "max_wait_us": own.max_wait_us,
    }
    file = (artefact.path, artefact.output.name)
    try:
        if isinstance(own, OpenVinoSut):
            from sut import openvino

            return openvino.OpenVinoSut(*file, **shared)
        from sut import onnxruntime

        level = own.graph_optimization
        return onnxruntime.OnnxRuntimeSut(*file, **shared, graph_optimization=level)
    except ModuleNotFoundError as error:
        raise ConfigError(f"sut={own.name}: {error}") from error
    except RuntimeError as error:
        raise SutError(str(error)) from error


def fit_batch(benchmark: Benchmark, bound_s: float | None, say: Say) -> dict[int, float]:
    """Set the largest batch worth taking, unless the config does; the times measured for it.

    Doubles the batch while it makes a sample cheaper by 2 % or more and one batch takes no
    longer than half of ``bound_s`` (1 s without a bound). Returns seconds by batch size.
    """
    sut, config = benchmark.sut, benchmark.config
    if not isinstance(sut, NetworkSut) or sut.fixed_batch:
        return {}
    say("timing batch sizes")
    given = getattr(config.sut, "max_batch", None)

    samples = benchmark.library.load(np.arange(min(64, benchmark.library.total_count)))
    limit_s = 1.0 if bound_s is None else bound_s / 2
    times = {1: service_time_s(benchmark, samples, 1)}
    size = 2
    while size <= 64 and given is None:
        times[size] = service_time_s(benchmark, samples, size)
        if times[size] > limit_s or times[size] / size > 0.98 * times[size // 2] / (size // 2):
            break
        sut.max_batch = size
        size *= 2
    return times


def service_time_s(benchmark: Benchmark, samples: LoadedSet, size: int) -> float:
    """Seconds for one batch of ``size`` on the idle system; SutError if it fails at that."""
    sut = benchmark.sut
    assert isinstance(sut, NetworkSut)
    try:
        return sut.service_time_s(samples, size)
    except Exception as error:  # the runtime raises types of its own
        raise SutError(f"{sut.name} failed on a batch of {size}: {error}") from error
