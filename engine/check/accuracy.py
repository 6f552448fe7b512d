"""The accuracy run of a result: its logs, the hash of its answers, how many there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from engine.cache import sha256_of
from engine.published.entry import SCENARIOS, Entry
from engine.published.logs import Facts, Unreadable, read_detail, text_of
from engine.published.recompute import number
from engine.submission.accuracy import CUT
from engine.submission.layout import ACCURACY, DETAIL, LARGEST_ACCURACY_LOG, QUALITY

Said = Iterator[tuple[Path, str, str]]

HASH = re.compile(r"^hash=([0-9a-f]{64})\s*$", re.MULTILINE)
# Samples of the data sets, by our model names.
SAMPLES = {
    "resnet50": 50_000,
    "mobilenet": 50_000,
    "retinanet": 24_781,
    "bert": 10_833,
    "unet3d": 43,
}


def accuracy_findings(result: Path, entry: Entry, performance: Facts) -> Said:
    """Path, kind and sentence of each thing wrong with the accuracy run of ``result``."""
    folder = result / "accuracy"
    detail, answers, quality = folder / DETAIL, folder / ACCURACY, folder / QUALITY
    try:
        log = read_detail(detail)
    except Unreadable as problem:
        yield detail, "file", str(problem)
    else:
        for kind, message in _of_log(log.facts, entry, performance):
            yield detail, kind, message
        if log.errors:
            yield detail, "error", f"{len(log.errors)} error(s) were logged: {log.errors[0]}"
    try:
        hashed = HASH.search(text_of(quality))
    except Unreadable:  # said by the reading of the result
        hashed = None
    else:
        if hashed is None:
            yield quality, "accuracy", "has no line hash=SHA256 of the accuracy log"
    for message in _of_answers(answers, hashed[1] if hashed else None):
        yield answers, "accuracy", message


def _of_log(facts: Facts, entry: Entry, performance: Facts) -> Iterator[tuple[str, str]]:
    mode = facts.get("effective_test_mode")
    if mode not in ("AccuracyOnly", "SubmissionRun"):
        yield "accuracy", f"its test mode is {mode}, not AccuracyOnly"
    scenario = str(facts.get("effective_scenario")).lower()
    if SCENARIOS.get(scenario.replace(" ", "")) != entry.scenario:
        yield "accuracy", f"it ran {scenario}, not {entry.scenario}"
    total = number(facts, "qsl_reported_total_count")
    covered = number(facts, "effective_accuracy_sample_count")
    wanted = SAMPLES.get(entry.model, total)
    if (covered if covered is not None else total) != wanted:
        yield "accuracy", f"it covers {covered or 0:,.0f} samples, not all {wanted or 0:,.0f}"
    for key in ("sut_name", "loadgen_version"):
        if key in facts and key in performance and facts[key] != performance[key]:
            yield "accuracy", f"{key} is {facts[key]}, the performance run's {performance[key]}"


def _of_answers(path: Path, stated: str | None) -> Iterator[str]:
    try:
        text_of(path)
        size, content = path.stat().st_size, path.read_bytes()
    except (Unreadable, OSError) as problem:
        yield str(problem)
        return
    if size > LARGEST_ACCURACY_LOG:
        yield f"has {size:,} bytes, the suite takes {LARGEST_ACCURACY_LOG:,}: it is not shortened"
    if CUT.strip() in content and size <= LARGEST_ACCURACY_LOG:
        ends = content.strip()
        if not (ends.startswith(b"[") and ends.endswith(b"]")):
            yield "does not begin and end as an accuracy log does"
        return
    if stated is not None and sha256_of(path) != stated:
        yield "is not the log whose hash accuracy.txt states"
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        yield "is no JSON"
        return
    if not isinstance(found, list) or not found:
        yield "holds no answers"
