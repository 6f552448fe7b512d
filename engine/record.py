"""result.json: the one record of a benchmark, saved after every step.

Reports, tables, plots and tracking are all rendered from it and compute nothing themselves.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import engine
from engine.config import Config
from engine.power import Energy
from loadgen import Constraint, Ending, Metric, RunLog, Verdict
from loadgen.files import atomically
from loadgen.official import write_logs
from multirun.search import SearchResult

SCHEMA = 1
FILE = "result.json"
LOG_FILE = "run_log.npz"

Json = dict[str, Any]


class Record:
    """The record in its making, in the folder ``folder``.

    ``data``: what result.json will hold; ``log``: the performance run that it is of. It says
    ``"finished": false`` until ``finish``, so a run that was killed leaves what it had measured,
    marked as incomplete.
    """

    def __init__(self, folder: Path, config: Config, command: str) -> None:
        self.folder = folder
        self.data: Json = {
            "schema": SCHEMA,
            "program": {"name": "tailbound", "version": engine.__version__},
            "command": without_secret(command),
            "created": _now(),
            "finished": False,
            "verdict": None,
            "exit_code": None,
            "message": None,
            "conformant": False,
            "deviations": [],
            "config": _without_secrets(dataclasses.asdict(config)),
            "model": None,
            "dataset": None,
            "sut": None,
            "system": None,
            "idle_power_w": None,
            "preprocessing": None,
            "performance": None,
            "search": None,
            "tuning": None,
            "plan": None,
            "audits": None,
            "accuracy": None,
            "editions": [],
        }
        self.log: RunLog | None = None

    def save(self) -> None:
        """Write result.json atomically."""
        text = json.dumps(self.data, indent=1, allow_nan=False, default=_plain)
        with atomically(self.folder / FILE) as file:
            file.write(text.encode())

    def configured(self, config: Config) -> None:
        """Take another config, which was found on the way."""
        self.data["config"] = _without_secrets(dataclasses.asdict(config))

    def passing(self, log: RunLog, verdict: Verdict) -> None:
        """Put in a run that others will follow: without its arrays and log files."""
        self.data["performance"] = run_section(log, verdict)
        self.save()

    def performance(self, log: RunLog, verdict: Verdict, runs: Sequence[Json] = ()) -> None:
        """Put a performance run in, its arrays beside it in run_log.npz, and its log files.

        ``runs``: figures of all the runs of which it is the one that counts.
        """
        several = {"runs": list(runs)} if len(runs) > 1 else {}
        self.data["performance"] = {**run_section(log, verdict), **several}
        self.log = log
        self.save()
        write_arrays(self.folder / LOG_FILE, log)
        self.logs("performance", log, verdict)

    def broken(self, log: RunLog, verdict: Verdict, streams: bool = False) -> None:
        """Put in the run in which a search broke off; what it measured is not the benchmark's."""
        self.performance(log, verdict)
        self.data["performance"]["metric"] = _no_peak(streams)

    def unmeasured(self, row: Constraint, streams: bool = False) -> None:
        """Put in that nothing was measured, because of what ``row`` says."""
        self.data["performance"] = {
            "valid": False,
            "metric": _no_peak(streams),
            "constraints": [dataclasses.asdict(row)],
            "statistics": None,
            "settings": None,
            "ending": str(Ending.STOPPED),
            "started_at": None,
            "error": None,
        }

    def logs(self, part: str, log: RunLog, verdict: Verdict) -> None:
        """Write the log files in the official LoadGen's format into the folder of this part."""
        dataset, sut = self.data["dataset"], self.data["sut"]
        write_logs(
            self.folder / part,
            log,
            verdict,
            sut_name=sut["name"],
            library_name=dataset["name"],
            total_count=dataset["total_count"],
            performance_count=dataset["performance_sample_count"],
        )

    def search(self, result: SearchResult, facts: Json) -> None:
        """Put a search in; ``facts`` are what it started from."""
        self.data["search"] = {**dataclasses.asdict(result), **facts}
        self.save()

    def finish(self, verdict: str, exit_code: int, message: str | None = None) -> None:
        """Close the record: ``verdict`` is VALID, INVALID, DONE, FAILED or INTERRUPTED."""
        self.data.update(
            finished=verdict in ("VALID", "INVALID", "DONE"),
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
        **energy_section(log),
    }


def energy_section(log: RunLog) -> Json:
    """The energy of a run that was metered, and its share of each answered query and sample."""
    energy = log.metered
    if not isinstance(energy, Energy):
        return {}
    answered = {"query": len(log.latency_ns), "sample": int(log.done.sum())}
    shares = {
        f"energy_per_{each}_j": energy.energy_j / count
        if energy.energy_j is not None and count
        else None
        for each, count in answered.items()
    }
    return {"energy": {**dataclasses.asdict(energy), **shares}}


def write_arrays(path: Path, log: RunLog) -> None:
    """The run's arrays, so that anyone can recompute its figures (NumPy, no pickle)."""
    with atomically(path) as file:
        tokens: dict[str, Any] = {
            "first_token_ns": log.first_token_ns,
            "token_count": log.token_count,
        }
        np.savez_compressed(
            file,
            scheduled_ns=log.scheduled_ns,
            first_sample=log.first_sample,
            taken_ns=log.taken_ns,
            completed_ns=log.completed_ns,
            status=log.status,
            sample_index=log.sample_index,
            lateness_ns=log.lateness_ns,
            **tokens,
        )


def _no_peak(streams: bool) -> Json:
    name, unit = ("streams", "streams") if streams else ("server_qps", "queries/s")
    return dataclasses.asdict(Metric(name, None, unit, "none"))


def without_secret(text: str) -> str:
    """``text`` without the user and password of the addresses in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def _without_secrets(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_secrets(value) for key, value in tree.items()}
    return without_secret(tree) if isinstance(tree, str) else tree


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")
