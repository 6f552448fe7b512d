"""A finished benchmark becomes a part of the tree."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from engine.config import Config
from engine.errors import ConfigError
from engine.record import FILE, LOG_FILE, Json, Record
from engine.submission import documents
from engine.submission.accuracy import put_accuracy
from engine.submission.description import described, must_be_the_same_system
from engine.submission.layout import AUDITS, DETAIL, SUMMARY, Place, place_of
from engine.submission.sums import SUMS, put_sums
from loadgen.files import atomically


def add(config: Config, record: Record) -> Path:
    """Put the finished benchmark of ``record`` into the tree; the folder of its result.

    A result that was there before under the same names is replaced as a whole. Raises ConfigError
    where the tree cannot be written.
    """
    place, description = place_of(config), described(config)
    try:
        place.submitter.mkdir(parents=True, exist_ok=True)
        must_be_the_same_system(place, description)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=place.submitter) as folder:
            staged = replace(place, submitter=Path(folder))
            _fill(staged, record)
            _move(staged, place)
        _describe(place, description)
    except OSError as error:
        raise ConfigError(
            f"submission.path={config.submission.path} cannot be written ({error}). What was "
            f"measured is in {record.folder}."
        ) from error
    return place.result


def _fill(place: Place, record: Record) -> None:
    data, result = record.data, place.result
    run = result / "performance" / "run_1"
    run.mkdir(parents=True)
    for name in (DETAIL, SUMMARY):
        shutil.copyfile(record.folder / "performance" / name, run / name)
    put_accuracy(record.folder / "accuracy", result / "accuracy", data["accuracy"])
    for audit in data.get("audits") or []:
        _put_audit(place, record, audit)
    where = f"{place.system} {place.model} {place.scenario}"
    texts = {
        place.measurements.name: _json(documents.measurements(data)),
        "user.conf": documents.user_conf(data, place.model, place.scenario),
        "README.md": documents.readme(data, where),
    }
    place.documents.mkdir(parents=True, exist_ok=True)
    _write(place.documents, texts)
    place.record.mkdir(parents=True)
    for name in (FILE, LOG_FILE):
        shutil.copyfile(record.folder / name, place.record / name)
    _write(place.record, {"calibration.md": documents.calibration(data)})
    put_sums(place.submitter, place.parts, place.record / SUMS)


def _put_audit(place: Place, record: Record, audit: Json) -> None:
    if audit["audit"] not in AUDITS:
        return
    folder = place.audits / AUDITS[audit["audit"]]
    run = folder / "performance" / "run_1"
    run.mkdir(parents=True)
    _write(folder, documents.audit_files(audit))
    made = record.folder / "audits" / audit["audit"]
    for name in (DETAIL, SUMMARY):
        # The last run is the audit's own where it made others to compare it with.
        for file in sorted(made.rglob(name))[-1:]:
            shutil.copyfile(file, run / name)


def _move(staged: Place, place: Place) -> None:
    for new, old in zip(staged.parts, place.parts, strict=True):
        old.parent.mkdir(parents=True, exist_ok=True)
        if old.exists():
            old.rename(staged.submitter / f"old-{old.parts[-4]}")
        if new.exists():  # an open result has no audits
            new.rename(old)


def _describe(place: Place, description: dict[str, str]) -> None:
    """What the submitter's results share: written once, or as before."""
    shared = {
        place.description: _json(description),
        place.calibration: documents.CALIBRATION,
        place.sources / "README.md": documents.SOURCE,
    }
    for file, text in shared.items():
        if not file.exists():
            with atomically(file) as out:
                out.write(text.encode())


def _write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text)


def _json(content: Json) -> str:
    return json.dumps(content, indent=2) + "\n"
