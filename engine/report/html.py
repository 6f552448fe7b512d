"""The report of one run: a page that needs nothing but itself, rendered from the record."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from engine.record import LOG_FILE
from engine.report import content, page
from engine.report.plots import latency_plot, plan_plot, search_plot
from engine.report.summary import metric_text, names_of
from engine.report.timeline import batch_plot, latency_timeline_plot, read_timeline
from loadgen.files import atomically

FILE = "report.html"

Json = dict[str, Any]


def write_report(record: Json, folder: Path) -> Path:
    """Write the report of a record into its folder. Raises OSError."""
    with atomically(folder / FILE) as file:
        file.write(run_page(record, folder).encode())
    return folder / FILE


def run_page(record: Json, folder: Path) -> str:
    """The page; ``folder`` is where the arrays of the run lie, if they do."""
    return page.page(" · ".join(names_of(record)), _parts(record, folder))


def _parts(record: Json, folder: Path) -> Iterator[str]:
    yield f"<h1>{escape(' · '.join(names_of(record)))}</h1>"
    shown = f"{escape(metric_text(record))} {page.badge(str(record['verdict']))}"
    yield f'<p class="metric">{shown}</p>'
    yield from content.remarks(record, page)
    yield from content.parts(record, page, _pictures(record, folder))


def _pictures(record: Json, folder: Path) -> Iterator[str]:
    timeline = read_timeline(folder / LOG_FILE)
    found = [page.picture(latency_plot(record), "How many queries were at least as fast")]
    if timeline is not None:
        found += [
            page.picture(latency_timeline_plot(timeline, record), "Over the run"),
            page.picture(batch_plot(timeline), "Batch sizes over the run"),
        ]
    found.append(page.picture(search_plot(record), "The search: rate against tail latency"))
    found.append(page.picture(plan_plot(record), "The plan: rate against simulated tail latency"))
    if any(found):
        yield page.heading("Pictures")
        yield f'<div class="pictures">{"".join(found)}</div>'
