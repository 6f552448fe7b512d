"""result.json: the one record of a benchmark, saved after every step.

Reports, tables, plots and tracking are all rendered from it and compute nothing themselves.
"""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import engine
from engine.config import Config
from loadgen import RunLog, Verdict
from multirun.search import SearchResult

SCHEMA = 1
FILE = "result.json"
LOG_FILE = "run_log.npz"

Json = dict[str, Any]


class Record:
    """The record in its making, in the folder ``folder``.

    ``data``: what result.json will hold. It says ``"finished": false`` until ``finish``, so a
    run that was killed leaves what it had measured, marked as incomplete.
    """

    def __init__(self, folder: Path, config: Config, command: str) -> None:
        self.folder = folder
        self.data: Json = {
            "schema": SCHEMA,
            "program": {"name": "tailbound", "version": engine.__version__},
            "command": command,
            "created": _now(),
            "finished": False,
            "verdict": None,
            "exit_code": None,
            "message": None,
            "conformant": False,
            "deviations": [],
            "config": dataclasses.asdict(config),
            "model": None,
            "dataset": None,
            "sut": None,
            "system": None,
            "performance": None,
            "search": None,
            "accuracy": None,
        }

    def save(self) -> None:
        """Write result.json atomically."""
        text = json.dumps(self.data, indent=1, allow_nan=False, default=_plain)
        write_atomically(self.folder / FILE, text.encode())

    def performance(self, log: RunLog, verdict: Verdict) -> None:
        """Put a performance run in, and its arrays beside it in run_log.npz."""
        self.data["performance"] = run_section(log, verdict)
        write_arrays(self.folder / LOG_FILE, log)
        self.save()

    def search(self, result: SearchResult, facts: Json) -> None:
        """Put a search in; ``facts`` are what it started from."""
        self.data["search"] = {**dataclasses.asdict(result), **facts}
        self.save()

    def finish(self, verdict: str, exit_code: int, message: str | None = None) -> None:
        """Close the record: ``verdict`` is VALID, INVALID, FAILED or INTERRUPTED."""
        self.data.update(
            finished=verdict in ("VALID", "INVALID"),
            verdict=verdict,
            exit_code=exit_code,
            message=message,
            ended=_now(),
        )
        self.save()


def run_section(log: RunLog, verdict: Verdict) -> Json:
    """One run as the record holds it."""
    return {
        "valid": verdict.valid,
        "metric": dataclasses.asdict(verdict.metric),
        "constraints": [dataclasses.asdict(row) for row in verdict.constraints],
        "statistics": dataclasses.asdict(verdict.statistics),
        "settings": dataclasses.asdict(log.settings),
        "ending": str(log.ending),
        "started_at": log.started_at,
        "error": log.error,
    }


def write_arrays(path: Path, log: RunLog) -> None:
    """The run's arrays, so that anyone can recompute its figures (NumPy, no pickle)."""
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            scheduled_ns=log.scheduled_ns,
            first_sample=log.first_sample,
            taken_ns=log.taken_ns,
            completed_ns=log.completed_ns,
            status=log.status,
            sample_index=log.sample_index,
            lateness_ns=log.lateness_ns,
        )
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: a reader, or a crash, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")
