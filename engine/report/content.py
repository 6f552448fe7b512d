"""What the report of a run says, whatever it is written in: the record, and no figure besides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from engine.record import LOG_FILE
from engine.report.summary import (
    NOTHING_RIGHT,
    edition_rows,
    energy_text,
    preprocessing_text,
    quality_text,
    token_texts,
)
from multirun.summary import missed_audits

Json = dict[str, Any]

# A server that answers less than this share of what comes is overloaded.
KEEPS_UP = 0.95


class Page(Protocol):
    """A way of writing: ``engine.report.page`` is HTML, ``engine.report.markdown`` Markdown."""

    def heading(self, text: str) -> str:
        """The heading of a part."""

    def paragraph(self, text: str, kind: str = "") -> str:
        """A paragraph of plain text."""

    def code(self, text: str) -> str:
        """Text as it stands."""

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
        """A table of plain texts."""

    def folded(self, label: str, inner: str) -> str:
        """Something that is shown when it is asked for."""


def remarks(record: Json, page: Page) -> Iterator[str]:
    """What is to be known of the result: its message, what limits it, and its deviations."""
    if record["message"]:
        yield page.paragraph(record["message"], "note")
    for text in shortfalls(record):
        yield page.paragraph(text, "missed")
    for text in _held_by(record):
        yield page.paragraph(text, "limit")
    if record["deviations"]:
        text = "Not a rule-conformant result: " + "; ".join(record["deviations"]) + "."
        yield page.paragraph(text, "note")


def parts(record: Json, page: Page, pictures: Iterable[str] = ()) -> Iterator[str]:
    """All that follows the headline; ``pictures`` come after the constraints."""
    if performance := record["performance"]:
        yield page.heading("Constraints")
        yield constraints(performance["constraints"], page)
        yield from pictures
        yield from _latencies(performance, page)
        yield from _runs(performance, page)
        yield from _energy(record, page)
        yield from _preprocessing(record, page)
    if plan := record["plan"]:
        yield from _plan(plan, page)
        yield from pictures
    yield from _search(record, page)
    yield from _accuracy(record, page)
    yield from _audits(record, page)
    yield from _editions(record, page)
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


def _plan(plan: Json, page: Page) -> Iterator[str]:
    """The profile, and what was simulated from it."""
    curve = plan["curve"]
    yield page.heading("Profile")
    yield page.table(
        ("batch", "median service (ms)"),
        [(size, f"{ms:.3f}") for size, ms in zip(curve["batch"], curve["service_ms"], strict=True)],
    )
    if "best" not in plan:
        return
    yield page.heading("Predicted peaks")
    yield page.paragraph(
        f"Inside p{plan['percentile']:g} <= {plan['bound_ms']:g} ms, simulated from the service "
        "times; not measured."
    )
    best = plan["best"]
    rows = [
        (f"batch <= {b['max_batch']}, wait {b['max_wait_us']:g} us", 1, f"{b['peak_qps']:.4g}")
        for b in plan["batchings"]
    ]
    named = f"the best: batch <= {best['max_batch']}, wait {best['max_wait_us']:g} us"
    fleets = [*plan["fleets"], *([plan["needed"]] if plan["needed"] else [])]
    rows += [(named, fleet["replicas"], f"{fleet['peak_qps']:.4g}") for fleet in fleets]
    yield page.table(("system", "replicas", "queries/s"), rows)


def limits(record: Json) -> Iterator[str]:
    """What decides the result: what was missed, or else what it is nearest to."""
    yield from shortfalls(record)
    yield from _held_by(record)


def _held_by(record: Json) -> Iterator[str]:
    """What the load or the speed of a measured run was limited by, in its own figures."""
    performance = record["performance"] or {}
    if not (statistics := performance.get("statistics")):
        return
    rows, settings = performance["constraints"], performance["settings"]
    if any(not row["passed"] for row in rows):
        asked = (settings["target_qps"] or 0) * settings["samples_per_query"]
        answered = statistics["completed_samples_per_s"]
        if settings["scenario"] == "server" and answered and answered < KEEPS_UP * asked:
            yield (
                f"{asked:,.5g} samples/s came and {answered:,.5g} were answered: the system cannot "
                "keep up, and the queue grew for as long as they came."
            )
        return
    ends = ("_latency", "_ttft", "_tpot")
    tails = [
        row
        for row in rows
        if (row["name"].endswith(ends) and not row["name"].startswith("early"))
        or "skipped" in row["name"]
    ]
    search = record["search"] or {}
    high = None if "best_streams" in search else search.get("high_qps")
    failed = f" At {_rate(high)} it was missed." if high else ""
    for row in tails:
        yield (
            f"It is limited by {row['name'].replace('_', ' ')}: {row['measured']} where "
            f"{row['required']} is required.{failed}"
        )
    if not tails:
        sizes = statistics["batch_size_mean"], statistics["batch_size_max"]
        batches = f", in batches of {sizes[0]:.2f} samples (at most {sizes[1]})"
        of = batches if settings["scenario"] == "offline" and sizes[0] else ""
        yield f"No bound limits it: the figure is the system's own speed{of}."


def shortfalls(record: Json) -> Iterator[str]:
    """Each thing that keeps the result from counting, with its figures and what to do."""
    for row in (record["performance"] or {}).get("constraints", []):
        if not row["passed"]:
            hint = f": {row['hint']}" if row["hint"] else ""
            yield f"{row['name']} was missed: {row['required']}, measured {row['measured']}{hint}."
    if (accuracy := record["accuracy"]) and not accuracy["target"]["passed"]:
        yield f"The quality was missed: {_asked(accuracy)}, measured {quality_text(accuracy)}."
    for audit in missed_audits(record):
        said = f"{audit['outcome']}, which is no pass"
        said = "FAIL" if audit["outcome"] == "FAIL" else said
        yield f"The audit {audit['audit']} says {said}: {audit['sentence']}"


def constraints(rows: list[Json], page: Page) -> str:
    """The constraints of a run as a table."""
    names = ("name", "required", "measured", "passed", "hint")
    shown = names if any(row["hint"] for row in rows) else names[:-1]
    marks = {True: "met", False: "MISSED"}
    missed_first = [{**row, "passed": marks[row["passed"]]} for row in sorted(rows, key=_passed)]
    titles = {"name": "constraint", "passed": ""}
    return page.table(
        [titles.get(name, name) for name in shown],
        [[row[name] for name in shown] for row in missed_first],
    )


def _passed(row: Json) -> bool:
    return bool(row["passed"])


def _latencies(performance: Json, page: Page) -> Iterator[str]:
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
        **dict(token_texts(statistics)),
        "generator late, us": plain(statistics["wake_late_us"] or None),
    }
    yield page.heading("Run")
    yield page.table(("", ""), facts.items())


def _percentiles(statistics: Json) -> Iterator[tuple[str, str, str]]:
    for name, value in statistics["latency_ms"].items():
        ends = statistics["latency_interval_ms"].get(name)
        yield name, f"{value:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "-"


def _runs(performance: Json, page: Page) -> Iterator[str]:
    if runs := performance.get("runs"):
        yield page.heading("Runs, of which the worst counts")
        names = list(runs[0])
        yield page.table(names, [[plain(run[name]) for name in names] for run in runs])


def _energy(record: Json, page: Page) -> Iterator[str]:
    if text := energy_text(record):
        yield page.heading("Energy (an estimate, not wall power)")
        yield page.paragraph(text)
        if parts := record["performance"]["energy"]["parts_j"]:
            yield page.table(("device", "J"), [(name, plain(j)) for name, j in parts.items()])


def _preprocessing(record: Json, page: Page) -> Iterator[str]:
    if text := preprocessing_text(record):
        yield page.heading("The same run with preprocessing in the timed part")
        yield page.paragraph(text)
        yield constraints(record["preprocessing"]["constraints"], page)


def _search(record: Json, page: Page) -> Iterator[str]:
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
        (f"unloaded {search.get('judged', 'latency')}, ms", plain(search.get("unloaded_ms"))),
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


def _accuracy(record: Json, page: Page) -> Iterator[str]:
    if accuracy := record["accuracy"]:
        target = accuracy["target"]
        met = "met" if target["passed"] else "MISSED"
        row = (quality_text(accuracy), _asked(accuracy), met, accuracy["quality"]["note"])
        yield page.heading("Accuracy")
        yield page.table(("measured", "required", "", "note"), [row])
        model = record["model"] or {}
        if how := model.get("quantisation"):
            yield page.paragraph(f"{model['precision']}: {how}.", "soft")


def _asked(accuracy: Json) -> str:
    target, unit = accuracy["target"], accuracy["quality"]["unit"]
    asked = f">= {target['required']:.3f} {unit}"
    if target.get("published"):
        return f"{asked}, which the rules ask of this data"
    if not target["reference"]:
        return NOTHING_RIGHT
    return f"{asked}, {target['ratio']:.0%} of FP32's"


def _audits(record: Json, page: Page) -> Iterator[str]:
    if audits := record.get("audits"):
        yield page.heading("Audits")
        yield page.table(
            ("audit", "", "what it rests on"),
            [(each["audit"], each["outcome"], each["sentence"]) for each in audits],
        )
        seed = record["audit_seed"]
        yield page.paragraph(f"With audit.seed={seed} they draw the same seeds again.", "soft")


def _editions(record: Json, page: Page) -> Iterator[str]:
    if editions := record.get("editions"):
        yield page.heading("Editions of the rules")
        yield page.table(("edition", ""), edition_rows(editions))


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
