"""``python -m engine.compare A B ...``: results side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.table import Table
from rich.text import Text

from engine.compare.difference import difference, incomparable
from engine.compare.side import Side
from engine.compare.source import read_side
from engine.errors import VALID, ConfigError, TailboundError
from engine.report.summary import STYLES, show
from loadgen.files import atomically
from multirun.summary import as_csv

NOTE = (
    "Significance is at 95 %, from the uncertainty inside each run: it knows nothing of what "
    "changes from one run to the next. Repeat the runs to learn that."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See: python -m engine.compare --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line: 0, or 3 where the results cannot be had or not be compared."""
    try:
        options = _parse(arguments)
        sides = [read_side(name, options.mlflow) for name in options.results]
        compare(sides, force=options.force, csv=options.csv)
        return VALID
    except TailboundError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return ConfigError.exit_code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m engine.compare",
        description="Compare results with the first one named, the baseline.",
    )
    parser.add_argument(
        "results", nargs="+", metavar="RESULT", help="a result.json, a run's folder, or a run's id"
    )
    parser.add_argument("--force", action="store_true", help="compare what is not comparable")
    parser.add_argument("--mlflow", metavar="URI", help="the store that run ids are looked up in")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there as well")
    options = parser.parse_args(arguments)
    if len(options.results) < 2:
        raise ConfigError("name at least two results. See: python -m engine.compare --help")
    return options


def compare(sides: Sequence[Side], *, force: bool, csv: Path | None) -> None:
    """Print the comparison; ConfigError where it would mislead and ``force`` is not given."""
    reasons = list(incomparable(sides))
    if reasons and not force:
        raise ConfigError(
            "these results are not comparable: " + "; ".join(reasons) + ". --force compares them."
        )
    rows = [row for side in sides for row in _rows(side, sides[0])]
    show(_table(rows))
    for side in sides:
        if side.verdict != "VALID":
            show(Text(f"{side.name} is {side.verdict}: its figures are no result.", style="red"))
    for reason in reasons:
        show(Text(f"Not comparable: {reason}.", style="yellow"))
    show(Text(NOTE, style="dim"))
    if csv is not None:
        with atomically(csv) as file:
            file.write(as_csv(rows).encode())


def _rows(side: Side, baseline: Side) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, figure in side.figures.items():
        other = baseline.figures.get(name)
        found = None if other is None or side is baseline else difference(figure, other)
        says = "baseline" if side is baseline else "-" if found is None else found.says
        rows.append(
            {
                "figure": name,
                "result": side.name,
                "verdict": side.verdict,
                "value": figure.value,
                "unit": figure.unit,
                "standard_error": figure.error,
                "ratio": None if found is None else found.ratio,
                "p": None if found is None else found.p,
                "against_baseline": says,
            }
        )
    return rows


def _table(rows: Sequence[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("figure", "result", "value", "against the baseline", "verdict"):
        table.add_column(column, overflow="fold", justify="right" if column == "value" else "left")
    order = list(dict.fromkeys(str(row["figure"]) for row in rows))
    for row in sorted(rows, key=lambda row: order.index(str(row["figure"]))):
        error = row["standard_error"]
        value = f"{row['value']:,.5g}" + ("" if error is None else f" ± {error:.2g}")
        verdict = str(row["verdict"])
        table.add_row(
            str(row["figure"]),
            str(row["result"]),
            f"{value} {row['unit']}",
            str(row["against_baseline"]),
            Text(verdict, style=STYLES.get(verdict, "yellow")),
        )
    return table
