"""Every result of a tree, and everything found wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.check.accuracy import accuracy_findings
from engine.check.audits import audit_findings
from engine.check.own import own_findings
from engine.check.papers import paper_findings
from engine.check.runs import run_findings
from engine.check.scenarios import missing_scenarios, several_rounds
from engine.check.walk import unsafe
from engine.published.entry import Entry, Finding
from engine.published.logs import Facts
from engine.published.tree import DIVISIONS, read_repository
from engine.submission.layout import found_place


@dataclass(frozen=True)
class Checked:
    """What was found: of how many results, and what."""

    results: int
    findings: tuple[Finding, ...]


def check_tree(root: Path, edition: str = "") -> Checked:
    """Check every result under ``root``, closed/ and open/; it does not raise.

    ``edition``: the rules of the round; "" for those that the seeds of each result tell.
    """
    if dangers := tuple(unsafe(root)):
        return Checked(0, dangers)
    reading = read_repository(root, DIVISIONS, edition)
    findings = list(reading.findings)
    for entry, facts in zip(reading.entries, reading.facts, strict=True):
        try:
            findings += _of_result(root, entry, facts)
        except Exception as error:  # of files that nobody thought of: the others are checked
            what = f"could not be checked: {type(error).__name__}: {error}"
            findings.append(Finding(entry.path, "file", what))
    findings += [*missing_scenarios(reading.entries), *several_rounds(reading.entries)]
    return Checked(len(reading.entries), tuple(findings))


def _of_result(root: Path, entry: Entry, runs: list[Facts]) -> Iterator[Finding]:
    result = root / entry.path
    place = found_place(result)
    if not entry.round:
        yield Finding(entry.path, "rules", "its seeds are those of no round that is known")
    for facts in runs:
        for kind, message in run_findings(entry.scenario, facts):
            yield Finding(entry.path, kind, message)
    yield from paper_findings(root, place, entry)
    said = [
        *accuracy_findings(result, entry, runs[0]),
        *(audit_findings(place, entry) if entry.division == "closed" else ()),
        *own_findings(place, entry, runs[0]),
    ]
    for path, kind, message in said:
        yield Finding(str(path.relative_to(root)), kind, message)
