"""A results repository: division/submitter/results/system/model/scenario/performance/run_N."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.published import accuracy
from engine.published.entry import MODELS, SCENARIOS, Entry, Finding, Run
from engine.published.logs import Facts, Log, Unreadable, read_detail, read_summary, text_of
from engine.published.recompute import Metric, checks, metric
from engine.published.rules import edition_of, rule_breaks, tail_percentile

SUMMARY, DETAIL = "mlperf_log_summary.txt", "mlperf_log_detail.txt"
DIVISIONS = ("closed", "open")
# How far a figure of the summary may lie from the detail log's: they are rounded.
ROUNDING = 1e-4


@dataclass
class Reading:
    """What is read of a repository: its results, and what there is to say of them.

    ``facts``: of each entry, what the logs of its runs say.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    facts: list[list[Facts]] = field(default_factory=list)

    def say(self, path: Path | str, kind: str, message: str) -> None:
        """Add a finding; paths are told from the root."""
        at = path.relative_to(self.root) if isinstance(path, Path) else path
        self.findings.append(Finding(str(at), kind, message))


def read_repository(root: Path, held: Sequence[str] = ("closed",), edition: str = "") -> Reading:
    """Read every result under ``root``, in the order of their folders. It does not raise.

    Results of the divisions ``held`` are held against the rules ``edition``, or else those of
    their round.
    """
    reading = Reading(root)
    for division in DIVISIONS:
        for folder in _folders(root / division, depth=1):
            for scenario in _folders(folder / "results", depth=3):
                _read_result(reading, division, scenario)
    _hold_against_rules(reading, held, edition)
    return reading


def _hold_against_rules(reading: Reading, held: Sequence[str], edition: str) -> None:
    """Say what results miss of the rules; one that names no round is of the others'."""
    rounds = Counter(entry.round for entry in reading.entries if entry.round)
    usual = rounds.most_common(1)[0][0] if rounds else ""
    reading.entries = [
        replace(entry, round=edition or entry.round or usual) for entry in reading.entries
    ]
    for entry, facts in zip(reading.entries, reading.facts, strict=True):
        for message in rule_breaks(entry, facts) if entry.division in held else ():
            reading.say(entry.path, "rules", message)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """The folders ``depth`` below ``root``, sorted; links are not followed."""
    try:
        inside = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return
    for path in inside:
        if depth == 1:
            yield path
        else:
            yield from _folders(path, depth - 1)


def _read_result(reading: Reading, division: str, folder: Path) -> None:
    scenario = SCENARIOS.get(folder.name.lower().replace("_", "").replace("-", ""))
    if scenario is None:
        reading.say(folder, "file", f"{folder.name} is no scenario")
        return
    runs = [run for at in _folders(folder / "performance", 1) if (run := _run(reading, at))]
    if not runs:
        reading.say(folder, "file", "has no performance run that can be read")
        return
    model = _model(folder.parent.name)
    judged = [_judged(reading, scenario, model, run) for run in runs]
    figures = [(found, valid) for found, valid in judged if found.value is not None]
    if not figures:
        return
    # The worst run counts: an invalid one, then the lowest rate or the longest latency.
    sign = -1 if figures[0][0].unit == "ms" else 1
    worst, valid = min(figures, key=lambda pair: (pair[1], sign * (pair[0].value or 0)))
    entry = _entry(reading, division, folder, runs, scenario)
    entry = replace(
        entry,
        metric=worst.name,
        unit=worst.unit,
        value=float(worst.value or 0),
        verdict="VALID" if valid else "INVALID",
    )
    reading.entries.append(entry)
    reading.facts.append([run.log.facts for run in runs])


def _model(folder: str) -> str:
    return MODELS.get(folder, folder.replace("-", "_"))


def _entry(reading: Reading, division: str, folder: Path, runs: list[Run], scenario: str) -> Entry:
    model, system = folder.parent, folder.parent.parent
    submitter = system.parent.parent
    return Entry(
        division=division,
        submitter=submitter.name,
        system=system.name,
        model=_model(model.name),
        scenario=scenario,
        round=edition_of(runs[0].log.facts),
        metric="",
        value=0.0,
        unit="",
        verdict="",
        runs=len(runs),
        quality=_quality(reading, folder),
        path=str(folder.relative_to(reading.root)),
        description=_description(reading, submitter / "systems" / f"{system.name}.json"),
    )


def _run(reading: Reading, folder: Path) -> Run | None:
    """A run from its two logs; None if its summary cannot be read."""
    summary = detail = None
    try:
        summary = read_summary(folder / SUMMARY)
    except Unreadable as problem:
        reading.say(folder / SUMMARY, "file", str(problem))
    try:
        detail = read_detail(folder / DETAIL)
    except Unreadable as problem:
        reading.say(folder / DETAIL, "file", str(problem))
    if detail is None or summary is None:
        if summary is None and (detail is None or "result_validity" not in detail.facts):
            return None
        return Run(str(folder.relative_to(reading.root)), (detail or summary or Log({})))
    for key, value in summary.facts.items():
        other = detail.facts.get(key, value)
        if key.startswith(("result_", "effective_")) and not _same(value, other):
            message = f"{key} is {value} in the summary and {other} in the detail log"
            reading.say(folder, "disagreement", message)
    facts = {**summary.facts, **detail.facts}
    return Run(str(folder.relative_to(reading.root)), Log(facts, detail.errors))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= ROUNDING * max(abs(one), abs(other)) + 1e-2
    return _plain(one) == _plain(other)


def _plain(value: Any) -> str:
    """A name as both kinds of logs can be compared: 'Single Stream' and 'SingleStream'."""
    text = str(value).lower().replace(" ", "")
    return {"performanceonly": "performance", "true": "1", "false": "0"}.get(text, text)


def _judged(reading: Reading, scenario: str, model: str, run: Run) -> tuple[Metric, bool]:
    """The run's metric and recomputed verdict; what disagrees with its own is said."""
    facts = run.log.facts
    named = SCENARIOS.get(_plain(facts.get("effective_scenario")), "none")
    if named != scenario:
        reading.say(run.path, "disagreement", f"lies under {scenario}, but ran {named}")
    found = metric(scenario, facts)
    demands = list(checks(scenario, run.log, tail_percentile(model, facts)))
    if found.reported is None:
        reading.say(run.path, "file", f"does not state {found.name}")
    elif not found.agrees:
        again = f"{found.recomputed:,.6g} {found.unit}"
        message = f"{found.name} is stated as {found.reported:,.6g}, recomputed {again}"
        reading.say(run.path, "disagreement", message)
    missed = [demand for demand in demands if not demand.passed]
    stated = facts.get("result_validity")
    if (stated == "VALID") != (not missed):
        why = "; ".join(f"{demand.name}: {demand.says}" for demand in missed or demands)
        reading.say(run.path, "disagreement", f"is stated as {stated}, but {why}")
    if run.log.errors:
        first = " ".join(run.log.errors[0].split())[:120]
        message = f"{len(run.log.errors)} error(s) were logged, the first: {first}"
        reading.say(run.path, "error", message)
    return found, stated == "VALID" and not missed


def _quality(reading: Reading, folder: Path) -> float | None:
    path = folder / "accuracy" / "accuracy.txt"
    try:
        found = accuracy.quality_in(text_of(path))
    except Unreadable as problem:
        reading.say(path, "file", str(problem))
        return None
    if found is None:
        reading.say(path, "file", "states no quality")
    return found


def _description(reading: Reading, path: Path) -> dict[str, Any]:
    """The system's description, empty where there is none that can be read."""
    try:
        found = json.loads(text_of(path))
    except (Unreadable, ValueError, RecursionError) as problem:
        if not any(
            finding.path == str(path.relative_to(reading.root)) for finding in reading.findings
        ):
            reading.say(path, "file", str(problem)[:160])
        return {}
    return found if isinstance(found, dict) else {}
