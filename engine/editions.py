"""Which editions of the rules a run meets, and which constraints of the others it misses.

A run is judged anew under the settings of each edition, whatever rules it was made under. What
was measured (data, weights, system) is not asked here: see ``engine.plan.deviations``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from engine.config import Config, Rules, Scenario
from engine.errors import ConfigError
from engine.paths import conf_dir
from engine.plan import full_settings, quality_ratio, run_count, scenario_rules
from engine.record import Json, Record
from engine.validation import shipped_rules
from evaluators.quality import Quality, against
from loadgen import Constraint, RunLog, Settings, judge


@cache
def shipped_editions() -> tuple[Rules, ...]:
    """The editions of the rules that came with this program, the oldest first."""
    names = sorted(file.stem for file in (conf_dir() / "rules").glob("*.yaml"))
    found = [rules for name in names if (rules := shipped_rules(name)) is not None]
    return tuple(rules for rules in found if rules.conformant)


def put_editions(record: Record, config: Config) -> None:
    """Put into the record what each edition says of its performance run."""
    if record.log is not None:
        record.data["editions"] = [
            judged(edition, config, record.log, record.data) for edition in shipped_editions()
        ]


def judged(edition: Rules, config: Config, log: RunLog, data: Json) -> Json:
    """The edition's name, whether the run ``log`` meets it, and the rows that it misses.

    ``data``: the run's record, for what its log does not hold.
    """
    rows = [row for row in _rows(edition, config, log, data) if not row.passed]
    return {
        "edition": edition.name,
        "met": not rows,
        "missed": [dataclasses.asdict(row) for row in rows],
    }


def _rows(edition: Rules, config: Config, log: RunLog, data: Json) -> Iterator[Constraint]:
    model = config.model.name
    suite = {*edition.server_bounds_ms, *edition.performance_sample_counts}
    if model not in suite:
        yield Constraint("model", f"one of {', '.join(sorted(suite))}", model, False)
        return
    asked = replace(config, rules=edition, scenario=_as_asked(edition, config))
    try:
        settings = full_settings(asked, log.settings.target_qps)
    except ConfigError:
        wanted = f"a scenario of the edition for {model}"
        yield Constraint("scenario", wanted, config.scenario.name, False)
        return
    yield from _traffic(asked, settings, log.settings)
    yield from judge(log, settings).constraints
    yield _runs(run_count(asked), data)
    yield _loaded(edition.performance_sample_counts.get(model, 1), data)
    yield _quality(asked, data)


def _as_asked(edition: Rules, config: Config) -> Scenario:
    """The scenario with nothing set by hand but the number of streams, where it is the metric."""
    own = config.scenario
    streams = getattr(edition.scenarios, own.name).samples_per_query is None
    return Scenario(name=own.name, samples_per_query=own.samples_per_query if streams else None)


def _traffic(asked: Config, wanted: Settings, had: Settings) -> Iterator[Constraint]:
    names = ["arrivals", "interval_ms", "issue", "traffic", "qsl_seed", "sample_index_seed"]
    if not wanted.scenario.closed_loop:
        names.append("schedule_seed")
    elif wanted.interval_ms is None:
        names.append("percentile")
    if scenario_rules(asked).samples_per_query is not None:
        names.append("samples_per_query")
    for name in names:
        required, measured = getattr(wanted, name), getattr(had, name)
        yield Constraint(name, str(required), str(measured), required == measured)


def _runs(wanted: int, data: Json) -> Constraint:
    made = (data["performance"] or {}).get("runs")
    count = sum(run["valid"] for run in made) if made else 1
    return Constraint("server_runs", f"{wanted} valid runs", str(count), count >= wanted)


def _loaded(wanted: int, data: Json) -> Constraint:
    count = data["dataset"]["performance_sample_count"]
    return Constraint("loaded_samples", f">= {wanted:,}", f"{count:,}", count >= wanted)


def _quality(asked: Config, data: Json) -> Constraint:
    accuracy, ratio = data["accuracy"], quality_ratio(asked)
    published = asked.rules.published_targets.get(asked.model.name)
    if accuracy is None:
        hint = "mode=both measures it"
        return Constraint("quality", f">= {ratio:.1%} of FP32's", "not measured", False, hint)
    quality, reference = Quality(**accuracy["quality"]), accuracy["target"]["reference"]
    target = against(quality, reference, ratio, None if accuracy["synthetic"] else published)
    shown = f">= {target.required:.3f} {quality.unit}"
    measured = f"{quality.value:.3f} {quality.unit}"
    return Constraint("quality", shown, measured, target.passed)
