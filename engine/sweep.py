"""The end of a sweep: one table over all its jobs, whichever process ran them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from engine import codes

CODE_FILE = "exit_code"


def leave_code(code: int) -> None:
    """Leave a job's exit code in its folder, for the process that started the sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        file = Path(hydra.runtime.output_dir) / CODE_FILE
        with contextlib.suppress(OSError):  # a folder that cannot be written was complained of
            file.write_text(str(code))


class SweepSummary(Callback):
    """Hydra callback: gather the jobs' records from the sweep folder, print and save a table."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra has no other place to say that this is not for timing."""
        if side_by_side(config.hydra.launcher):
            print(f"warning: {SIDE_BY_SIDE}.", file=sys.stderr)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the comparison and write summary.csv into the sweep folder."""
        from engine.report.files import write_rows
        from engine.report.summary import comparison, show

        folder = Path(config.hydra.sweep.dir)
        _hide_secrets(folder / "multirun.yaml")
        codes.count(*exit_codes(folder))
        records = read_records(folder)
        if not records:
            return
        show(comparison(records))
        print(f"summary: {write_rows(records, folder)}")
        if all(record["config"]["report"] for record in records):
            from engine.report.sweep import write_sweep_report

            print(f"report: {write_sweep_report(records, run_folders(folder), folder)}")


def _hide_secrets(file: Path) -> None:
    """Hydra writes down what was typed."""
    from engine.record import without_secret

    with contextlib.suppress(OSError):
        file.write_text(without_secret(file.read_text()))


def exit_codes(folder: Path) -> list[int]:
    """How the jobs of a sweep ended; 1 for one that was ended before it could say."""
    files = [job / CODE_FILE for job in folder.glob("[0-9]*_*") if job.is_dir()]
    return [int(file.read_text()) if file.is_file() else 1 for file in files]


SIDE_BY_SIDE = "jobs of the sweep ran side by side on one machine and disturbed each other"


def side_by_side(launcher: DictConfig) -> bool:
    """Whether jobs share a machine while they are timed."""
    several = launcher.get("n_jobs", 1) != 1
    return several or launcher["_target_"].endswith("submitit_launcher.LocalLauncher")


def run_folders(folder: Path) -> list[Path]:
    """The folders of a sweep's jobs that left a record, in the order of their numbers."""
    return [file.parent for file in sorted(folder.glob("*/result.json"), key=_job_number)]


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of a sweep's jobs, in the order of their numbers."""
    return [json.loads((found / "result.json").read_text()) for found in run_folders(folder)]


def _job_number(file: Path) -> tuple[int, str]:
    number, _, rest = file.parent.name.partition("_")
    return (int(number) if number.isdigit() else 10**9, rest)
