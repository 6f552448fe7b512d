"""The files that a run leaves for readers, beside its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.report import content, html, markdown
from engine.report.summary import metric_text, names_of
from loadgen.files import atomically
from multirun.summary import as_csv, rows

CSV, MARKDOWN = "summary.csv", "report.md"

Json = dict[str, Any]


def write_reports(record: Json, folder: Path) -> Path:
    """Write a run's row of figures, its report as Markdown and as a page; the page's path.

    Raises OSError.
    """
    write_rows([record], folder)
    with atomically(folder / MARKDOWN) as file:
        file.write(run_text(record).encode())
    return html.write_report(record, folder)


def run_text(record: Json) -> str:
    """The report of a run as Markdown, for an issue, a wiki or a pull request."""
    names, metric = " · ".join(names_of(record)), metric_text(record)
    return markdown.joined(
        (
            f"# {markdown.plain(names)}",
            f"**{markdown.plain(metric)}** {markdown.plain(str(record['verdict']))}",
            *content.remarks(record, markdown),
            *content.parts(record, markdown),
        )
    )


def write_rows(records: Sequence[Json], folder: Path) -> Path:
    """Write a row of figures for each record as CSV. Raises OSError."""
    with atomically(folder / CSV) as file:
        file.write(as_csv(rows(records)).encode())
    return folder / CSV
