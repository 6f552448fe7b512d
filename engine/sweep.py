"""The end of a sweep: one table over all its jobs, whichever process ran them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepSummary(Callback):
    """Hydra callback: gather the jobs' records from the sweep folder, print and save a table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the comparison and write summary.csv into the sweep folder."""
        from engine.report.summary import comparison, show
        from loadgen.files import atomically
        from multirun.summary import as_csv, rows

        folder = Path(config.hydra.sweep.dir)
        records = read_records(folder)
        if not records:
            return
        show(comparison(records))
        with atomically(folder / "summary.csv") as file:
            file.write(as_csv(rows(records)).encode())
        print(f"summary: {folder / 'summary.csv'}")
        if all(record["config"]["report"] for record in records):
            from engine.report.sweep import write_sweep_report

            print(f"report: {write_sweep_report(records, run_folders(folder), folder)}")


def run_folders(folder: Path) -> list[Path]:
    """The folders of a sweep's jobs that left a record, in the order of their numbers."""
    return [file.parent for file in sorted(folder.glob("*/result.json"), key=_job_number)]


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of a sweep's jobs, in the order of their numbers."""
    return [json.loads((found / "result.json").read_text()) for found in run_folders(folder)]


def _job_number(file: Path) -> tuple[int, str]:
    number, _, rest = file.parent.name.partition("_")
    return (int(number) if number.isdigit() else 10**9, rest)
