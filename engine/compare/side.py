"""One side of a comparison: a result in the figures and facts that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from engine.errors import ConfigError
from engine.record import LOG_FILE, Json
from engine.report.summary import names_of

# A 95 % interval is so many standard errors wide.
WIDTH = 2 * 1.959964
# Parts of an offline run whose rates are taken for independent.
PARTS = 10


@dataclass(frozen=True)
class Figure:
    """A measured figure. ``error``: its standard error inside the run, None where not known."""

    value: float
    unit: str
    higher_is_better: bool
    error: float | None = None


@dataclass(frozen=True)
class Side:
    """A result: its ``name`` in the table, ``facts`` that must be equal, and its figures.

    The first figure is the metric of the benchmark.
    """

    name: str
    verdict: str
    facts: Mapping[str, str]
    figures: Mapping[str, Figure]


def of_record(record: Json, name: str, folder: Path | None) -> Side:
    """A side from result.json; ``folder`` is where its arrays may lie.

    Raises ConfigError for a record without a performance run, or one that is not whole.
    """
    try:
        return _of_record(record, name, folder)
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise ConfigError(
            f"{name} is not a whole result of a finished performance run: {problem!r}"
        ) from problem


def _of_record(record: Json, name: str, folder: Path | None) -> Side:
    config, performance = record["config"], record["performance"]
    if performance is None or performance["statistics"] is None:
        raise ConfigError(f"{name} has no performance run to compare (mode={config['mode']}).")
    settings, statistics = performance["settings"], performance["statistics"]
    model, scenario, sut, precision = names_of(record)
    searched = record["search"] is not None and "best_qps" in record["search"]
    streams = searched and "best_streams" in record["search"]
    facts = {
        "model": model,
        "scenario": scenario,
        "metric": performance["metric"]["name"],
        "data": f"{record['dataset']['name']} {record['dataset']['fingerprint']}",
        "rules": config["rules"]["name"],
        "percentile": str(settings["percentile"]),
        "minimum duration": f"{settings['min_duration_ms'] / 1000:g} s",
        "minimum queries": str(settings["min_query_count"]),
        "latency bound": str(settings["bound_ms"]),
        "samples per query": "searched" if streams else str(settings["samples_per_query"]),
        "interval": str(settings["interval_ms"]),
        "arrivals": f"{settings['arrivals']} {settings['issue']}",
        "rate": "searched" if searched else "given" if scenario == "server" else "-",
    }
    figures = {**_metric(record, folder), **_latencies(statistics)}
    if (accuracy := record["accuracy"]) is not None:
        figures["quality"] = _quality(accuracy["quality"])
    return Side(f"{name} ({sut} {precision})", str(record["verdict"]), facts, figures)


def _metric(record: Json, folder: Path | None) -> dict[str, Figure]:
    performance, search = record["performance"], record["search"]
    metric, settings = performance["metric"], performance["settings"]
    value, unit = metric["value"], metric["unit"]
    if search and "best_qps" in search:
        value = search.get("best_streams", search["best_qps"])
        error = _width(search.get("interval_qps"))
    elif unit == "ms":
        name = f"p{settings['percentile']:g}"
        error = _width(performance["statistics"]["latency_interval_ms"].get(name))
    elif metric["name"] == "offline_samples_per_s":
        error = _rate_error(folder)
    else:  # set by hand: it was not measured
        error = None
    return {} if value is None else {metric["name"]: Figure(value, unit, unit != "ms", error)}


def _latencies(statistics: Json) -> dict[str, Figure]:
    intervals = statistics["latency_interval_ms"]
    return {
        f"latency {name}": Figure(value, "ms", False, _width(intervals.get(name)))
        for name, value in statistics["latency_ms"].items()
        if name in ("p50", "p90", "p99")
    }


def _quality(quality: Json) -> Figure:
    """Quality; of top-1, with the error of a share of so many samples (Agresti and Coull's, which
    is not 0 where all of them are right)."""
    error = None
    if quality["metric"].startswith("top1") and quality["count"]:
        count = quality["count"] + 4
        share = (quality["value"] / 100 * quality["count"] + 2) / count
        error = 100 * float(np.sqrt(share * (1 - share) / count))
    return Figure(quality["value"], quality["unit"], True, error)


def _width(ends: Any) -> float | None:
    """Standard error of a figure with this 95 % interval."""
    return None if not ends else (ends[1] - ends[0]) / WIDTH


def _rate_error(folder: Path | None) -> float | None:
    """Standard error of an offline rate, from the rates of equal parts of the run."""
    if folder is None or not (folder / LOG_FILE).is_file():
        return None
    try:
        with (folder / LOG_FILE).open("rb") as file, np.load(file, allow_pickle=False) as log:
            ended_ns = np.sort(log["completed_ns"][log["completed_ns"] >= 0])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    places = np.linspace(0, len(ended_ns) - 1, PARTS + 1).astype(int)
    if len(np.unique(places)) <= PARTS:
        return None
    seconds = np.diff(ended_ns[places]) / 1e9
    if not (seconds > 0).all():
        return None
    rates = np.diff(places) / seconds
    return float(rates.std(ddof=1) / np.sqrt(PARTS))


def of_published(entry: Json, name: str) -> Side:
    """A side from a published result, see ``engine.published``."""
    try:
        facts = {
            "model": entry["model"],
            "scenario": entry["scenario"],
            "metric": entry["metric"],
            "data": f"the suite's for {entry['model']}",
            "rules": entry["round"],
        }
        faster = entry["unit"] != "ms"
        figures = {entry["metric"]: Figure(float(entry["value"]), entry["unit"], faster)}
        if entry["quality"] is not None:
            unit = "points" if entry["model"] == "gnmt" else "%"
            figures["quality"] = Figure(float(entry["quality"]), unit, True)
        label = f"{name} ({entry['submitter']} {entry['system']})"
        return Side(label, str(entry["verdict"]), facts, figures)
    except (KeyError, TypeError, ValueError) as problem:
        raise ConfigError(f"{name} is not a whole published result: {problem!r}") from problem
