"""The audits of a closed result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.published.entry import SCENARIOS, Entry
from engine.published.logs import Facts, Unreadable, read_detail, read_summary, text_of
from engine.published.recompute import metric, number
from engine.submission.layout import DETAIL, SUMMARY, Place

Said = Iterator[tuple[Path, str, str]]

# Models that need each audit, by our names (v5.0 to v6.1).
MODELS = {
    "TEST01": ("resnet50", "retinanet", "bert", "unet3d", "dlrm"),
    "TEST04": ("resnet50",),
}
FILES = {
    "TEST01": ("verify_accuracy.txt", "verify_performance.txt"),
    "TEST04": ("verify_performance.txt",),
}
# What sets an audit's run apart from the result's own.
ASKED = {
    "TEST01": "answers are kept of it, and of this one none were",
    "TEST04": "it asks for one sample again and again, and this one did not",
}
# How much faster (or, for TEST01, slower) an audit's run may be.
TOLERANCE = 0.10
# Below this latency of its streams a TEST01 may differ by twice as much, ms.
SHORT_MS = {"single_stream": 0.2, "multi_stream": 1.6}


def audit_findings(place: Place, entry: Entry) -> Said:
    """Path, kind and sentence of each thing wrong with the audits of the result at ``place``."""
    for audit in MODELS:
        if entry.model not in MODELS[audit]:
            continue
        folder = place.audits / audit
        if not folder.is_dir():
            yield folder, "audit", "is missing"
            continue
        yield from _verified(folder, audit)
        yield from _rerun(folder, audit, entry)


def _verified(folder: Path, audit: str) -> Said:
    for name in FILES[audit]:
        try:
            passed = "TEST PASS" in text_of(folder / name)
        except Unreadable as problem:
            yield folder / name, "file", str(problem)
            continue
        if not passed:
            yield folder / name, "audit", "does not say TEST PASS"


def _asked(audit: str, facts: Facts) -> bool:
    """Whether a run was made with what the audit asks for."""
    if audit == "TEST04":
        return facts.get("effective_performance_issue_same") in (True, 1, "true")
    names = ("accuracy_log_probability", "accuracy_log_sampling_target")
    return any((number(facts, f"effective_{name}") or 0) > 0 for name in names)


def _rerun(folder: Path, audit: str, entry: Entry) -> Said:
    """The audit's run must be readable, without errors, VALID, and as fast as the result."""
    run = folder / "performance" / "run_1"
    try:
        log = read_detail(run / DETAIL)
        read_summary(run / SUMMARY)
    except Unreadable as problem:
        yield run, "file", str(problem)
        return
    if log.errors:
        yield run, "error", f"{len(log.errors)} error(s) were logged: {log.errors[0]}"
    if log.facts.get("result_validity") != "VALID":
        yield run, "audit", f"its run is {log.facts.get('result_validity')}"
    ran = str(log.facts.get("effective_scenario"))
    if SCENARIOS.get(ran.lower().replace(" ", "")) != entry.scenario:
        yield run, "audit", f"ran {ran}, not {entry.scenario}"
    if not _asked(audit, log.facts):
        yield run, "audit", f"is a run like any other: {ASKED[audit]}"
    value = metric(entry.scenario, log.facts).value
    if not value or not entry.value:
        yield run, "audit", f"does not state {entry.metric}"
        return
    faster = value / entry.value if entry.higher_is_better else entry.value / value
    short = entry.value <= SHORT_MS.get(entry.scenario, 0)
    limit = TOLERANCE * (2 if audit == "TEST01" and short else 1)
    if faster > 1 + limit:
        yield run, "audit", f"is {faster - 1:.0%} faster than the result, at most {limit:.0%} is"
    elif audit == "TEST01" and faster < 1 - limit:
        yield run, "audit", f"is {1 - faster:.0%} slower than the result, at most {limit:.0%} is"
