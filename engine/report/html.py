"""The report of one run: a page that needs nothing but itself, rendered from the record."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from engine.record import LOG_FILE
from engine.report import page
from engine.report.plots import latency_plot, search_plot
from engine.report.summary import (
    edition_text,
    energy_text,
    metric_text,
    names_of,
    preprocessing_text,
    quality_text,
)
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
    yield from _head(record)
    if performance := record["performance"]:
        yield page.heading("Constraints")
        yield constraints(performance["constraints"])
        yield from _pictures(record, folder)
        yield from _latencies(performance)
        yield from _runs(performance)
        yield from _energy(record)
        yield from _preprocessing(record)
    yield from _search(record)
    yield from _accuracy(record)
    yield from _editions(record)
    yield page.heading("Run it again")
    yield page.code(record["command"])
    program = record["program"]
    yield page.paragraph(
        f"{program['name']} {program['version']}, {record['created']}. The record is result.json "
        f"in this folder; {LOG_FILE} has the times of every query.",
        "soft",
    )
    for label, part in (("System", "system"), ("Network", "model"), ("Data", "dataset")):
        if record[part]:
            yield page.heading(label)
            yield page.table(("", ""), [(k, plain(v)) for k, v in record[part].items()])
    yield page.heading("Configuration")
    yield page.folded("every key", page.code(_yaml(record["config"])))


def _head(record: Json) -> Iterator[str]:
    yield f"<h1>{escape(' · '.join(names_of(record)))}</h1>"
    shown = f"{escape(metric_text(record))} {page.badge(str(record['verdict']))}"
    yield f'<p class="metric">{shown}</p>'
    if record["message"]:
        yield page.paragraph(record["message"], "note")
    for text in limits(record):
        yield page.paragraph(text)
    if record["deviations"]:
        text = "Not a rule-conformant result: " + "; ".join(record["deviations"]) + "."
        yield page.paragraph(text, "note")


def limits(record: Json) -> Iterator[str]:
    """What decides the result: what was missed, or else what it is nearest to."""
    performance = record["performance"] or {}
    rows = performance.get("constraints", [])
    missed = [row for row in rows if not row["passed"]]
    for row in missed:
        hint = f": {row['hint']}" if row["hint"] else ""
        yield f"{row['name']} was missed: {row['required']}, measured {row['measured']}{hint}."
    tails = [row for row in rows if row["name"].endswith("_latency") or "skipped" in row["name"]]
    for row in tails if not missed else ():
        yield (
            f"It is limited by {row['name'].replace('_', ' ')}: {row['measured']} where "
            f"{row['required']} is required."
        )


def constraints(rows: list[Json]) -> str:
    """The constraints of a run as a table."""
    return page.table(
        ("constraint", "required", "measured", "", "hint"),
        (
            (r["name"], r["required"], r["measured"], "met" if r["passed"] else "MISSED", r["hint"])
            for r in rows
        ),
    )


def _pictures(record: Json, folder: Path) -> Iterator[str]:
    timeline = read_timeline(folder / LOG_FILE)
    found = [page.picture(latency_plot(record), "How many queries were at least as fast")]
    if timeline is not None:
        found += [
            page.picture(latency_timeline_plot(timeline, record), "Over the run"),
            page.picture(batch_plot(timeline), "Batch sizes over the run"),
        ]
    found.append(page.picture(search_plot(record), "The search: rate against tail latency"))
    if any(found):
        yield page.heading("Pictures")
        yield f'<div class="pictures">{"".join(found)}</div>'


def _latencies(performance: Json) -> Iterator[str]:
    statistics = performance["statistics"]
    if not statistics or not statistics["latency_ms"]:
        return
    if statistics["query_count"] > 1:
        yield page.heading("Latency")
        yield page.table(("", "ms", "95 % interval"), _percentiles(statistics))
    facts = {
        "queries": f"{statistics['query_count']:,}",
        "samples": f"{statistics['sample_count']:,}",
        "duration": f"{statistics['duration_s']:.2f} s",
        "samples/s completed": plain(statistics["completed_samples_per_s"]),
        "batch size, mean and max": f"{plain(statistics['batch_size_mean'])}, "
        f"{statistics['batch_size_max']}",
        "generator late, us": plain(statistics["wake_late_us"] or None),
    }
    yield page.heading("Run")
    yield page.table(("", ""), facts.items())


def _percentiles(statistics: Json) -> Iterator[tuple[str, str, str]]:
    for name, value in statistics["latency_ms"].items():
        ends = statistics["latency_interval_ms"].get(name)
        yield name, f"{value:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "-"


def _runs(performance: Json) -> Iterator[str]:
    if runs := performance.get("runs"):
        yield page.heading("Runs, of which the worst counts")
        names = list(runs[0])
        yield page.table(names, [[plain(run[name]) for name in names] for run in runs])


def _energy(record: Json) -> Iterator[str]:
    if text := energy_text(record):
        yield page.heading("Energy (an estimate, not wall power)")
        yield page.paragraph(text)
        if parts := record["performance"]["energy"]["parts_j"]:
            yield page.table(("device", "J"), [(name, plain(j)) for name, j in parts.items()])


def _preprocessing(record: Json) -> Iterator[str]:
    if text := preprocessing_text(record):
        yield page.heading("The same run with preprocessing in the timed part")
        yield page.paragraph(text)
        yield constraints(record["preprocessing"]["constraints"])


def _search(record: Json) -> Iterator[str]:
    search = record["search"] or {}
    if not (probes := search.get("probes")):
        return
    yield page.heading("Search")
    facts = [
        ("confirmed", _confirmed(search)),
        ("peak, 95 % interval", " to ".join(_rate(end) for end in search["interval_qps"]))
        if search.get("interval_qps")
        else ("peak, 95 % interval", None),
        ("highest that passed", _rate(search.get("low_qps"))),
        ("lowest that failed", _rate(search.get("high_qps"))),
        ("unloaded latency, ms", plain(search.get("unloaded_ms"))),
        ("offline throughput, samples/s", plain(search.get("ceiling_qps"))),
        ("why it ended", search.get("reason")),
    ]
    yield page.table(("", ""), facts)
    names = ("kind", "rate_qps", "outcome", "tail_ms", "late", "query_count", "duration_s")
    rows = [[plain(probe[name]) for name in names] for probe in probes]
    yield page.folded(f"all {len(probes)} runs", page.table(names, rows))


def _confirmed(search: Json) -> str | None:
    if "best_streams" in search:
        streams = search["best_streams"]
        return None if streams is None else f"{streams} streams"
    return _rate(search.get("best_qps"))


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g} queries/s"


def _accuracy(record: Json) -> Iterator[str]:
    if accuracy := record["accuracy"]:
        target = accuracy["target"]
        met = "met" if target["passed"] else "MISSED"
        unit = accuracy["quality"]["unit"]
        asked = f">= {target['required']:.3f} {unit}, {target['ratio']:.0%} of FP32's"
        row = (quality_text(accuracy), asked, met, accuracy["quality"]["note"])
        yield page.heading("Accuracy")
        yield page.table(("measured", "required", "", "note"), [row])


def _editions(record: Json) -> Iterator[str]:
    if editions := record.get("editions"):
        yield page.heading("Editions of the rules")
        rows = [(edition["edition"], edition_text(edition)) for edition in editions]
        yield page.table(("edition", ""), rows)


def plain(value: object) -> str:
    """A value of a record as a reader wants it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.5g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return str(value)


def _yaml(config: Json) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config))
