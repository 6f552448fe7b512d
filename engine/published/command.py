"""``python -m engine.published DIR``: read a round's results repository."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.table import Table
from rich.text import Text

from engine.errors import INTERRUPTED, VALID, ConfigError, TailboundError
from engine.published import plots, tables
from engine.published.tree import Reading, read_repository
from engine.report.summary import show
from loadgen.files import atomically
from multirun.summary import as_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns of the results that are left to results.csv: a terminal is not as wide.
FILES_ONLY = ("metric", "path")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See: python -m engine.published --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 also where disagreements are found, 3 if it cannot be done."""
    try:
        options = _parse(arguments)
        reading = read_repository(options.dir.absolute())
        if not reading.entries and not reading.findings:
            raise ConfigError(
                f"{options.dir} holds no results: DIR must be the folder with closed/ or open/ "
                "in it, as in closed/SUBMITTER/results/SYSTEM/MODEL/SCENARIO."
            )
        _tell(reading, options.out)
        if options.mlflow is not None:
            _log(reading, options.mlflow)
        return VALID
    except TailboundError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return ConfigError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m engine.published",
        description="Read a results repository, recompute it, and list what disagrees.",
    )
    parser.add_argument("dir", type=_folder, metavar="DIR", help="the folder with closed/ or open/")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write CSV files and pictures")
    parser.add_argument(
        "--mlflow",
        nargs="?",
        const="",
        metavar="URI",
        help="log each result as a run (by default where runs of this machine are logged)",
    )
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ConfigError(f"{text} is no folder")
    return path


def _tell(reading: Reading, out: Path | None) -> None:
    entries = [dataclasses.asdict(entry) for entry in reading.entries]
    rows = [{key: value for key, value in row.items() if key != "description"} for row in entries]
    short = [{key: value for key, value in row.items() if key not in FILES_ONLY} for row in rows]
    closed = [entry for entry in reading.entries if entry.division == "closed"]
    shown = {
        "results": (rows, None),
        "coverage": (found := tables.coverage(closed), plots.coverage_plot(found)),
        "server_against_offline": (
            found := tables.server_against_offline(closed),
            plots.server_plot(found),
        ),
        "relative_performance": (
            found := tables.relative_performance(closed),
            plots.relative_plot(found),
        ),
        "findings": ([dataclasses.asdict(finding) for finding in reading.findings], None),
    }
    for name, (table, picture) in shown.items():
        title = f"\n{name.replace('_', ' ')} ({len(table):,})"
        show(_table(title, short if table is rows else table))
        if out is not None:
            _write(out, name, table, picture)


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table | Text:
    if not rows:
        return Text(title)
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    return table


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.5g}" if isinstance(value, float) else str(value)


def _write(out: Path, name: str, rows: Sequence[dict[str, Any]], picture: Figure | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if rows:
        with atomically(out / f"{name}.csv") as file:
            file.write(as_csv(rows).encode())
    if picture is not None:
        picture.savefig(out / f"{name}.svg", metadata={"Date": None})
    if rows:
        print(f"written: {out / name}.*")


def _log(reading: Reading, uri: str) -> None:
    from engine.published.store import log_entries
    from engine.record import without_secret
    from engine.tracking import store_uri

    where = store_uri(uri or None)
    try:
        logged, there = log_entries(reading.entries, where)
    except Exception as error:  # any backend, any driver
        first = without_secret(next(iter(str(error).splitlines()), ""))
        raise ConfigError(
            f"MLflow at {without_secret(where)} did not take them: {first}"
        ) from error
    print(f"mlflow: {logged} runs logged, {there} were there, at {without_secret(where)}")
