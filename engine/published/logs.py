"""The log files of any round as facts under the names that the later rounds use.

Round v0.5 wrote free text; later ones a line of JSON for each fact (``:::MLLOG``). Summaries
have kept their labels. Whatever is wrong with a file ends in one ``Unreadable``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20
MARK = ":::MLLOG"

Facts = dict[str, Any]

LABELS = {
    "Scenario": "effective_scenario",
    "Mode": "effective_test_mode",
    "Test mode": "effective_test_mode",
    "Result is": "result_validity",
    "Scheduled samples per second": "result_scheduled_samples_per_sec",
    "Completed samples per second": "result_completed_samples_per_sec",
    "Samples per second": "result_samples_per_second",
    "Samples per query": "result_samples_per_query",
    "90th percentile latency (ns)": "result_90.00_percentile_latency_ns",
    "QPS w/ loadgen overhead": "result_qps_with_loadgen_overhead",
    "QPS w/o loadgen overhead": "result_qps_without_loadgen_overhead",
}
LATENCY = re.compile(r"(Min|Max|Mean|\d\d\.\d\d percentile) latency \(ns\)")
INTERVALS = re.compile(r"(\d\d\.\d\d) percentile")
UNIT = re.compile(r" \((ns|ms)\)")
ENTRY = re.compile(r'^"pid": \d+, "tid": \d+, "ts": \d+ns : (.*)$', re.MULTILINE)
GENERATED = re.compile(
    r'GeneratedQueries: "queries" : (\d+), "samples per query" : (\d+), "duration" : (\d+)'
)
POWER = re.compile(r'POWER_(BEGIN|END): "mode" : Performance, "time" : (.+)')


class Unreadable(Exception):
    """A file that says nothing that can be used; the text says why."""


@dataclass(frozen=True)
class Log:
    """What a log says. ``errors``: what went wrong while the test ran."""

    facts: Facts
    errors: tuple[str, ...] = ()


def text_of(path: Path) -> str:
    """The text of a file, NULs left out, bytes that are no text replaced."""
    try:
        if not path.is_file():
            raise Unreadable("is no regular file" if path.exists() else "is missing")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Unreadable(f"has {size / 2**20:,.0f} MiB, more than {MOST_BYTES >> 20}: not read")
        text = path.read_bytes().decode("utf-8", "replace").replace("\0", "")
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    if not text.strip():
        raise Unreadable("is empty")
    return text


def read_summary(path: Path) -> Log:
    """A summary log. Raises Unreadable for one without a verdict or without its end."""
    text = text_of(path)
    facts = dict(_labelled(text.splitlines()))
    if facts.get("result_validity") not in ("VALID", "INVALID"):
        raise Unreadable("has no line 'Result is : VALID' or INVALID: it is no summary, or cut off")
    if "effective_min_query_count" not in facts or "effective_scenario" not in facts:
        raise Unreadable("ends before its test parameters: it is cut off")
    return Log(facts)


def _labelled(lines: list[str]) -> Iterator[tuple[str, Any]]:
    """Facts of lines ``label : value``, whose meaning may depend on the part they stand in."""
    parameters, of_queries = False, False
    for line in lines:
        parameters = parameters or line.startswith("Test Parameters Used")
        if line.startswith(("Per-query latency", "Per-sample latency")):
            of_queries = line.startswith("Per-query")
        label, colon, value = line.partition(":")
        if not colon or not (label := label.strip()):
            continue
        if label in LABELS:
            yield LABELS[label], _value(value)
        elif found := LATENCY.fullmatch(label):
            name = found[1].lower().replace(" ", "_")
            whole = ("_per_query" if "percentile" in name else "_query") if of_queries else ""
            yield f"result_{name}{whole}_latency_ns", _value(value)
        elif found := INTERVALS.fullmatch(label):
            yield f"intervals_{found[1]}", _value(value)
        elif parameters:
            yield effective(label), _value(value)


def effective(label: str) -> str:
    """The later name of a setting of v0.5, whose unit stood in brackets."""
    return "effective_" + UNIT.sub(r"_\1", label)


def read_detail(path: Path) -> Log:
    """A detail log of either kind. Raises Unreadable for one that is neither, or is cut off."""
    text = text_of(path)
    json_lines = text.lstrip().startswith(MARK)
    log = _json_lines(text) if json_lines else _free_text(text)
    if "effective_scenario" not in log.facts:
        raise Unreadable("names no scenario: it is no detail log, or cut off")
    judged = json_lines and log.facts.get("effective_test_mode") != "AccuracyOnly"
    if "power_end" not in log.facts or (judged and "result_validity" not in log.facts):
        raise Unreadable("ends before the test does: it is cut off")
    return log


def _json_lines(text: str) -> Log:
    facts: Facts = {}
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(MARK):
            continue
        try:
            entry = json.loads(line[len(MARK) :], parse_constant=_refuse)
            key, value = str(entry["key"]), entry["value"]
            if entry.get("metadata", {}).get("is_error"):
                errors.append(f"{key}: {value}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unreadable(f"line {number} is no entry: {str(error)[:120]}") from error
        facts[key] = _value(value) if isinstance(value, str) else _in_range(value)
    return Log(facts, tuple(errors))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _free_text(text: str) -> Log:
    facts: Facts = {}
    errors = []
    settings = False
    for entry in ENTRY.findall(text):
        entry = entry.rstrip("\r")
        if entry.startswith("ERROR"):
            errors.append(entry.partition(":")[2].strip())
        elif found := GENERATED.match(entry):
            names = ("query_count", "samples_per_query", "query_duration")
            facts |= {
                f"generated_{n}": _value(v) for n, v in zip(names, found.groups(), strict=True)
            }
        elif found := POWER.match(entry):
            facts[f"power_{found[1].lower()}"] = found[2].strip()
        elif entry.startswith("version :"):
            facts["loadgen_version"] = entry.partition(":")[2].strip()
        elif entry.startswith(("Effective Settings", "Requested Settings")):
            settings = entry.startswith("Effective")
        elif settings and " : " in entry:
            label, _, value = entry.partition(" : ")
            facts[LABELS.get(label, effective(label))] = _value(value)
    return Log(facts, tuple(errors))


def _value(text: str) -> Any:
    """A finite number where the text is one, else the text."""
    text = text.strip()
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return _in_range(number)
    return text


def _in_range(value: Any) -> Any:
    """The value, or its text if it is a number beyond those that can be computed with."""
    try:
        beyond = isinstance(value, int | float) and not math.isfinite(value)
    except OverflowError:
        beyond = True
    return str(value) if beyond else value
