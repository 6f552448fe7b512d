"""The audits of a closed result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.published.entry import Entry
from engine.published.logs import Unreadable, read_detail, read_summary, text_of
from engine.published.recompute import metric
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
