"""Which setting of the system reaches the highest rate."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from engine.build import Benchmark, Say
from engine.config import Config
from engine.errors import ConfigError
from engine.paths import OWN_CONF
from engine.performance import Follow, limits_of, part_of
from engine.plan import full_settings
from engine.record import Record
from engine.system import usable_cores
from engine.systems import restarted
from engine.validation import GROUPS
from loadgen.files import atomically
from multirun.belief import Belief
from multirun.probing import evaluate, run_length_s, target_of
from multirun.search import Load, Probe, SearchSettings, estimate

Setting = dict[str, int]
KEYS = ("workers", "threads", "max_batch")


@dataclass(frozen=True)
class Tried:
    """One setting; ``low_qps``, ``high_qps``: its peak lies between them with 95 % probability.

    ``dropped``: why it was given up before its peak was known.
    """

    setting: Setting
    low_qps: float | None = None
    peak_qps: float | None = None
    high_qps: float | None = None
    dropped: str | None = None


def tuned(benchmark: Benchmark, record: Record, follow: Follow, say: Say) -> Benchmark:
    """The benchmark with the best setting, which is also left as an experiment file.

    A setting is dropped as soon as it cannot reach the lower end of the best one's interval.
    Raises ConfigError if the system has none of the keys, or no setting meets the bound.
    """
    best: tuple[Tried, Benchmark] | None = None
    tries = []
    for setting in settings_of(benchmark.config):
        config = dataclasses.replace(
            benchmark.config,
            sut=dataclasses.replace(benchmark.config.sut, **setting),  # type: ignore[arg-type]
        )
        one = dataclasses.replace(
            benchmark, config=config, sut=restarted(config, benchmark.artefact)
        )
        tried = _try(one, setting, best[0].low_qps if best else None, record, follow, say)
        say(f"setting {_told(tried)}")
        tries.append(tried)
        record.data["tuning"] = {"tried": [dataclasses.asdict(t) for t in tries]}
        if tried.peak_qps and (best is None or tried.peak_qps > (best[0].peak_qps or 0)):
            best = tried, one
    if best is None:
        return benchmark  # the search says that the bound cannot be met
    name = _experiment_name(benchmark.config)
    file = write_experiment(name, shlex.split(record.data["command"])[3:], best[0].setting)
    command = f"python -m engine experiment={name}"
    record.data["tuning"] |= {
        "best": best[0].setting,
        "experiment": str(file),
        "command": command,
    }
    say(f"best setting {_told(best[0])}; again with: {command}")
    return best[1]


def settings_of(config: Config) -> Iterator[Setting]:
    """All combinations that are to be tried.

    Raises ConfigError for a system that has none of the keys, or lacks one that is asked for.
    """
    own, tune = config.sut, config.search.tune
    able = [key for key in KEYS if hasattr(own, key)]
    if lacking := [key for key in KEYS if getattr(tune, key) and key not in able]:
        raise ConfigError(f"search.tune.{lacking[0]}: sut={own.name} has no such key.")
    if not able:
        raise ConfigError(f"search.tune: sut={own.name} has none of {', '.join(KEYS)}.")
    cores = usable_cores()
    shared = _doubling(cores) if "threads" in able else None
    given: dict[str, list[Any]] = {
        "workers": tune.workers or shared or [None],
        "threads": tune.threads or [None],
        "max_batch": tune.max_batch or [None],
    }
    given = {key: given[key] for key in able}
    for values in itertools.product(*given.values()):
        yield {key: value for key, value in zip(given, values, strict=True) if value is not None}


def write_experiment(
    name: str, overrides: Sequence[str], setting: Setting, root: Path = OWN_CONF
) -> Path:
    """Write what the ``overrides`` ask for, with the setting, as ``experiment=name``; its path."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    bases: list[Any] = []
    chosen: list[Any] = []
    values = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.key_or_group, cast("Any", override.value())
        if key == "experiment":
            bases += [value] if isinstance(value, str) else value or []
        elif key in GROUPS:
            chosen.append({f"override /{key}": value or "null"})  # as in sut=null
        elif not key.startswith("search.tune."):
            OmegaConf.update(values, key, value)
    for key, number in setting.items():
        OmegaConf.update(values, f"sut.{key}", number)
    whole = OmegaConf.merge({"defaults": [*bases, *chosen, "_self_"]}, values)
    file = root / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "# @package _global_\n# Found by search.tune on this machine.\n"
    with atomically(file) as opened:
        opened.write((text + OmegaConf.to_yaml(whole)).encode())
    return file


def _doubling(most: int) -> list[int]:
    return [2**n for n in range(most.bit_length())]


def _try(
    one: Benchmark,
    setting: Setting,
    to_beat_qps: float | None,
    record: Record,
    follow: Follow,
    say: Say,
) -> Tried:
    part, full = part_of(one, record, follow, say), partial(full_settings, one.config)
    facts = part.measured(full(1.0).bounds_ms, full(1.0))
    limits = limits_of(facts)
    if not limits.feasible:
        return Tried(setting, dropped=f"one query alone takes {limits.unloaded_ms:.1f} ms")
    start, numbers = part.expected(facts, limits), itertools.count()
    if to_beat_qps is not None and start.ceiling_qps < to_beat_qps:
        return Tried(setting, dropped=f"offline it reaches {facts['ceiling_qps']:.4g} samples/s")

    def make(load: Load) -> Probe:
        return evaluate(load, full(load.rate_qps), next(numbers), part.go)[0]

    def beaten(belief: Belief) -> bool:
        return to_beat_qps is not None and belief.quantile(0.975) < to_beat_qps

    own = one.config.search
    belief = estimate(
        make,
        start,
        lambda rate: target_of(full(rate)),
        lambda rate: run_length_s(full(rate)),
        beaten,
        SearchSettings(tolerance=own.tolerance, probe_run_lengths=own.probe_run_lengths),
    )
    low, peak, high = (belief.quantile(share) for share in (0.025, 0.5, 0.975))
    return Tried(setting, low, peak, high, "it cannot be the best" if beaten(belief) else None)


def _told(tried: Tried) -> str:
    named = ", ".join(f"{key}={value}" for key, value in tried.setting.items()) or "as it is"
    if tried.peak_qps is None:
        return f"{named}: dropped, {tried.dropped}"
    dropped = f" ({tried.dropped})" if tried.dropped else ""
    return f"{named}: {tried.low_qps:.4g} to {tried.high_qps:.4g} qps{dropped}"


def _experiment_name(config: Config) -> str:
    names = (config.model.name, config.scenario.name, config.sut.name, config.precision.name)
    return "_".join(("tuned", *names))
