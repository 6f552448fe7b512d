"""The report of a sweep: every run in a table, and each scenario's results in one picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from engine.report import html, markdown, page
from engine.report.files import MARKDOWN
from engine.report.plots import BOUND, PASSED, canvas
from engine.report.summary import metric_text, names_of, quality_text, why_not
from loadgen.files import atomically
from multirun.summary import apart, rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Json = dict[str, Any]

HEADER = ("model", "scenario", "system", "precision", "with", "result", "quality", "", "why not")
NO_TOTAL = "Results of different models or scenarios have no common figure; there is no total."


def write_sweep_report(records: Sequence[Json], folders: Sequence[Path], root: Path) -> Path:
    """Write the report of the records, whose runs lie in ``folders``, into ``root``.

    It is written as Markdown too; the path is the page's. Raises OSError.
    """
    with atomically(root / MARKDOWN) as file:
        file.write(sweep_text(records, folders, root).encode())
    with atomically(root / html.FILE) as file:
        file.write(sweep_page(records, folders, root).encode())
    return root / html.FILE


def sweep_page(records: Sequence[Json], folders: Sequence[Path], root: Path) -> str:
    """The page; it links to the runs' own reports beside it."""
    return page.page(f"Sweep of {len(records)} runs", _parts(records, folders, root))


def sweep_text(records: Sequence[Json], folders: Sequence[Path], root: Path) -> str:
    """The same as Markdown, without pictures."""
    links = (
        f"* [{markdown.plain(' · '.join(names_of(record)))}]"
        f"({_target(folder / MARKDOWN, root)}) {markdown.plain(metric_text(record))}"
        for record, folder in zip(records, folders, strict=True)
    )
    return markdown.joined(
        (
            f"# Sweep of {len(records)} runs",
            markdown.paragraph(NO_TOTAL),
            markdown.table(HEADER, map(_row, records, apart(records))),
            markdown.heading("Reports of the runs"),
            "\n".join(links),
            markdown.heading("Run it again"),
            markdown.code("\n".join(record["command"] for record in records)),
        )
    )


def _parts(records: Sequence[Json], folders: Sequence[Path], root: Path) -> Iterator[str]:
    yield f"<h1>Sweep of {len(records)} runs</h1>"
    yield page.paragraph(NO_TOTAL, "soft")
    yield page.table(HEADER, map(_row, records, apart(records)))
    yield page.heading("Reports of the runs")
    links = (_link(record, folder, root) for record, folder in zip(records, folders, strict=True))
    yield f"<ul>{''.join(links)}</ul>"
    found = [page.picture(figure, caption) for caption, figure in result_plots(records)]
    if found:
        yield page.heading("Results by model and scenario")
        yield f'<div class="pictures">{"".join(found)}</div>'
    yield page.heading("Run it again")
    yield page.code("\n".join(record["command"] for record in records))


def _row(record: Json, overrides: str) -> tuple[str, ...]:
    quality = quality_text(record["accuracy"])
    return (
        *names_of(record),
        overrides,
        metric_text(record),
        quality,
        str(record["verdict"]),
        why_not(record),
    )


def _link(record: Json, folder: Path, root: Path) -> str:
    target = _target(folder / html.FILE, root)
    name = escape(" · ".join(names_of(record)))
    return f'<li><a href="{target}">{name}</a> {escape(metric_text(record))}</li>'


def _target(file: Path, root: Path) -> str:
    return quote(Path(os.path.relpath(file, root)).as_posix())


def result_plots(records: Sequence[Json]) -> Iterator[tuple[str, Figure]]:
    """A picture for each model and scenario that several runs have; invalid ones are grey."""
    flat = list(zip(rows(records), map(names_of, records), strict=True))
    kinds = dict.fromkeys(_kind(row, names) for row, names in flat)
    for kind in kinds:
        model, scenario, metric, unit = kind
        some = [
            (row, names)
            for row, names in flat
            if _kind(row, names) == kind and row["value"] is not None
        ]
        if len(some) < 2:
            continue
        figure, axes = canvas()
        figure.set_figheight(max(2.0, 0.4 * len(some) + 1))
        labels = [f"{names[2]} {names[3]} {row['overrides']}".rstrip() for row, names in some]
        colours = [PASSED if row["verdict"] == "VALID" else BOUND for row, _ in some]
        axes.barh(range(len(some)), [row["value"] for row, _ in some], color=colours)
        axes.set_yticks(range(len(some)), labels, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric} ({unit})")
        yield f"{model}, {scenario}; grey: not valid", figure


def _kind(row: Json, names: tuple[str, ...]) -> tuple[str, ...]:
    return names[0], row["scenario"], str(row["metric"]), str(row["unit"])
