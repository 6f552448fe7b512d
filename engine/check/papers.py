"""The documents of a result: system description, measurements, user.conf, README, source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.published.entry import Entry, Finding
from engine.published.logs import Unreadable, text_of
from engine.submission.config import CATEGORIES, SYSTEM_TYPES
from engine.submission.description import HEADER, NAMES, NEEDED
from engine.submission.layout import Place

MEASURED = {
    "input_data_types": "numbers that the inputs are in",
    "retraining": "whether the network was trained further, and how",
    "starting_weights_filename": "the weights that were started from",
    "weight_data_types": "numbers that the weights are in",
    "weight_transformations": "what was done to the weights",
}


def paper_findings(root: Path, place: Place, entry: Entry) -> Iterator[Finding]:
    """What is wrong with the documents of the result at ``place``."""
    at = str(place.description.relative_to(root))
    for message in _described(entry) if entry.description else ():
        yield Finding(at, "description", message)
    yield from _measurements(root, place.measurements)
    for name in ("user.conf", "README.md"):
        yield from _there(root, place.documents / name)
    if not place.sources.is_dir():
        yield _at(root, place.sources, "file", "is missing: the source belongs there")
    if entry.division == "closed":
        yield from _there(root, place.calibration)


def _described(entry: Entry) -> Iterator[str]:
    found = entry.description
    meanings = {**NEEDED, **HEADER, "status": HEADER["category"], "division": "open or closed"}
    meanings.pop("category")
    for name, meaning in meanings.items():
        if not str(found.get(name) or "").strip():
            yield f"{name} is missing or empty ({meaning})"
    for name in NAMES:
        name = name.replace("on_chip", "on-chip")
        if name not in found and name not in meanings:
            yield f"{name} is missing; it may be empty"
    allowed = {"status": CATEGORIES, "system_type": (*SYSTEM_TYPES, "edge,datacenter")}
    for name, choices in allowed.items():
        if (value := found.get(name)) and str(value).lower() not in choices:
            yield f"{name} is {value}, not one of {', '.join(choices)}"
    if entry.division == "closed" and str(found.get("is_network")).lower() == "true":
        yield "is_network is true, which is the network division's"
    for name, folder in (("submitter", entry.submitter), ("division", entry.division)):
        if (value := found.get(name)) and str(value).lower() != folder.lower():
            yield f"{name} is {value}, but it lies under {folder}"


def _measurements(root: Path, path: Path) -> Iterator[Finding]:
    try:
        found: Any = json.loads(text_of(path))
    except Unreadable as problem:
        yield _at(root, path, "file", str(problem))
        return
    except (ValueError, RecursionError) as problem:
        yield _at(root, path, "file", f"is no JSON: {problem}")
        return
    for name, meaning in MEASURED.items():
        if not isinstance(found, dict) or not found.get(name):
            yield _at(root, path, "description", f"{name} is missing or empty ({meaning})")


def _there(root: Path, path: Path) -> Iterator[Finding]:
    try:
        text_of(path)
    except Unreadable as problem:
        yield _at(root, path, "file", str(problem))


def _at(root: Path, path: Path, kind: str, message: str) -> Finding:
    return Finding(str(path.relative_to(root)), kind, message)
