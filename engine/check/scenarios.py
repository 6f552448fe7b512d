"""The scenarios that a closed system must have of each model that it submits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from engine.published.entry import Entry, Finding
from engine.submission.suite import REQUIRED, required


def several_rounds(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Submitters whose results are of more than one round: a submission is of one."""
    rounds: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        rounds[f"{entry.division}/{entry.submitter}"].add(entry.round)
    for folder, names in rounds.items():
        if len(known := sorted(names - {""})) > 1:
            yield Finding(folder, "rules", f"has results of several rounds: {', '.join(known)}")


def missing_scenarios(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Which scenarios closed results lack, and models that their round does not take there."""
    there: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for entry in entries:
        if entry.division == "closed" and entry.round in REQUIRED:
            types = str(entry.description.get("system_type", "")).lower()
            folder = entry.path.rpartition("/")[0]
            there[folder, types, entry.round, entry.model].add(entry.scenario)
    for (folder, types, edition, model), scenarios in there.items():
        asked = required(edition, types, model)
        if asked is None:
            message = f"{edition} takes no closed results of it from systems of type {types or '?'}"
            yield Finding(folder, "scenario", message)
            continue
        if lacking := sorted(set(asked) - scenarios):
            message = f"a closed system ({types}) also needs {', '.join(lacking)}"
            yield Finding(folder, "scenario", message)
        if unknown := sorted(scenarios - set(asked)):
            message = f"a closed system ({types}) may not have {', '.join(unknown)}"
            yield Finding(folder, "unasked", message)
