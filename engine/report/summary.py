"""The readable summary of a record, and the table that compares several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from multirun.summary import apart, missed

STYLES = {"VALID": "bold green", "DONE": "bold", "INVALID": "bold red", "FAILED": "bold red"}
NOTHING_RIGHT = "none: FP32 gets nothing right of this data: check weights, labels, preprocessing"


def summary(record: dict[str, Any]) -> RenderableType:
    """What was measured, whether it counts and why."""
    parts: list[RenderableType] = [_headline(record)]
    if record["message"]:
        parts.append(Text(record["message"]))
    if performance := record["performance"]:
        parts += [_figures(record, performance), _constraints(performance["constraints"])]
    if record["plan"]:
        parts.append(_plan(record["plan"]))
    if accuracy := record["accuracy"]:
        parts.append(_accuracy(accuracy, record["model"] or {}))
    if audits := record.get("audits"):
        parts.append(_audits(audits))
    if record["deviations"]:
        text = "Not a rule-conformant result: " + "; ".join(record["deviations"]) + "."
        parts.append(Text(text, style="yellow"))
    if editions := record.get("editions"):
        parts.append(_editions(editions))
    return Group(*parts)


def _headline(record: dict[str, Any]) -> Text:
    text = Text(f"\n{' · '.join(names_of(record))}   ", style="bold")
    text.append(f"{metric_text(record)}   ", style="bold")
    return text.append(str(record["verdict"]), style=STYLES.get(record["verdict"], "bold yellow"))


def _plan(plan: dict[str, Any]) -> RenderableType:
    """The profile, and what it promises; all but the service times is simulated."""
    curve, table = plan["curve"], Table.grid(padding=(0, 2))
    times = zip(curve["batch"], curve["service_ms"], strict=True)
    table.add_row("service (ms)", "  ".join(f"{size}: {ms:.3f}" for size, ms in times))
    table.add_row("", f"median by batch size; single batches spread by {curve['spread']:.1%}")
    if plan["slow_share"] is not None:
        text = f"{plan['slow_share']:.1%} of the profile: batches over 1.5 times their median"
        table.add_row("slow", text)
    if "best" not in plan:
        return table
    for tried in plan["batchings"]:
        mark = "  <- best" if tried == plan["best"] else ""
        text = f"batch <= {tried['max_batch']}, wait {tried['max_wait_us']:g} us: "
        table.add_row("peak", text + f"{tried['peak_qps']:.4g} queries/s{mark}")
    if plan["interval_qps"]:
        low, high = plan["interval_qps"]
        text = f"{low:.4g} to {high:.4g} queries/s in 95 % of profiles drawn from this one's rounds"
        table.add_row("best", text)
    for fleet in plan["fleets"]:
        text = f"{fleet['replicas']} behind one queue: {fleet['peak_qps']:.4g} queries/s"
        table.add_row("replicas", text)
    if needed := plan["needed"]:
        text = f"{plan['target_qps']:g} queries/s need {needed['replicas']} "
        table.add_row("target", text + f"(which reach {needed['peak_qps']:.4g})")
    bound = f"p{plan['percentile']:g} <= {plan['bound_ms']:g} ms"
    table.add_row("", f"peaks inside {bound}, simulated from the service times; not measured")
    return table


def _audits(audits: list[dict[str, Any]]) -> RenderableType:
    table = Table(title="audits", title_justify="left", box=None, padding=(0, 2))
    for column in ("audit", "outcome", "what it rests on"):
        table.add_column(column, overflow="fold")
    for found in audits:
        passed = found["outcome"] in ("PASS", "NOT APPLICABLE")
        outcome = Text(found["outcome"], style="green" if passed else "bold red")
        table.add_row(found["audit"], outcome, found["sentence"])
    return table


def names_of(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """Model, scenario, system and precision; a system without a network has no precision."""
    config = record["config"]
    precision = "-" if config["sut"]["kind"] == "null" else config["precision"]["name"]
    model, scenario, sut = (config[group]["name"] for group in ("model", "scenario", "sut"))
    variant = (record["model"] or {}).get("variant")
    return (f"{model} ({variant})" if variant else model, scenario, sut, precision)


def metric_text(record: dict[str, Any]) -> str:
    """The figure of the benchmark with its unit."""
    if record["performance"]:
        metric = record["performance"]["metric"]
        if record["search"] and "reason" in record["search"]:
            best = record["search"].get("best_streams", record["search"].get("best_qps"))
            none = f"no valid {'number' if metric['unit'] == 'streams' else 'rate'}"
            return none if best is None else f"peak {best:.4g} {metric['unit']}"
        if metric["value"] is None:
            return "no figure"
        return f"{metric['value']:.4g} {metric['unit']}"
    if plan := record["plan"]:
        best = plan.get("best")
        return f"predicted peak {best['peak_qps']:.4g} queries/s" if best else "profile"
    if record["accuracy"]:
        return quality_text(record["accuracy"])
    return "nothing measured"


def quality_text(accuracy: dict[str, Any] | None) -> str:
    """The quality with its unit and the name of its metric."""
    if accuracy is None:
        return "-"
    quality = accuracy["quality"]
    return f"{quality['value']:.2f} {quality['unit']} {quality['name']}"


def _figures(record: dict[str, Any], performance: dict[str, Any]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if performance["metric"]["value"] is not None:
        table.add_row("metric", f"{performance['metric']['name']}: {performance['metric']['how']}")
    if statistics := performance["statistics"]:
        latency = statistics["latency_ms"]
        shown = [name for name in ("min", "mean", "p50", "p90", "p99", "max") if name in latency]
        row = "  ".join(f"{name} {latency[name]:.3f}" for name in shown)
        table.add_row("latency (ms)", row)
        if text := _interval(performance):
            table.add_row("", text)
        for name, text in token_texts(statistics):
            table.add_row(name, text)
        table.add_row(
            "run",
            f"{statistics['query_count']:,} queries, {statistics['sample_count']:,} samples "
            f"in {statistics['duration_s']:.2f} s; "
            f"{_number(statistics['completed_samples_per_s'])} samples/s completed",
        )
        if statistics["batch_size_mean"]:
            mean, most = statistics["batch_size_mean"], statistics["batch_size_max"]
            table.add_row("batch size", f"mean {mean:.2f}, max {most}")
        if late := statistics["wake_late_us"]:
            row = f"p50 {late['p50']:.1f}, p99 {late['p99']:.1f}, max {late['max']:.1f}"
            table.add_row("generator late (us)", row)
    if text := energy_text(record):
        table.add_row("energy", text)
    if text := preprocessing_text(record):
        table.add_row("preprocessing timed", text)
    if search := record["search"]:
        facts = []
        if "unloaded_ms" in search:
            facts.append(
                f"unloaded {search.get('judged', 'latency')} {search['unloaded_ms']:.2f} ms"
            )
        if search.get("ceiling_qps"):
            facts.append(f"offline {search['ceiling_qps']:.4g} samples/s")
        if ends := search.get("interval_qps"):
            facts.append(f"peak between {ends[0]:.4g} and {ends[1]:.4g} qps at 95 %")
        facts.append(f"{len(search['probes'])} runs")
        if "run_lengths" in search:
            facts.append(f"{search['run_lengths']:.2f} run lengths in all")
        if "reason" in search:
            facts.append(search["reason"])
        table.add_row("search", "; ".join(facts))
    return table


def token_texts(statistics: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines on the tokens of a run, each with its name; none where there are none."""
    if not (tokens := statistics.get("tokens")):
        return
    for kind, name in (("ttft", "time to first token"), ("tpot", "time per further token")):
        times = tokens[f"{kind}_ms"]
        shown = [each for each in ("mean", "p50", "p90", "p99", "max") if each in times]
        if shown:
            yield f"{name} (ms)", "  ".join(f"{each} {times[each]:.3f}" for each in shown)
    yield "tokens", f"{tokens['count']:,}, {_number(tokens['per_s'])} tokens/s"


def preprocessing_text(record: dict[str, Any]) -> str:
    """How the same run went with preprocessing in the timed part, empty without such a run."""
    if not (beside := record.get("preprocessing")):
        return ""
    statistics = beside["statistics"]
    latency = [
        f"{name} {statistics['latency_ms'][name]:.3f} ms"
        for name in ("p50", "p99")
        if name in statistics["latency_ms"]
    ]
    missed = [row["name"] for row in beside["constraints"] if not row["passed"]]
    facts = (*latency, f"{_number(statistics['completed_samples_per_s'])} samples/s completed")
    met = f"missed: {', '.join(missed)}" if missed else "every constraint met"
    return f"{', '.join(facts)}; {met} ({beside['steps']}; beside the result, not in it)"


def energy_text(record: dict[str, Any]) -> str:
    """What a run's devices took, empty where it was not measured; always called an estimate."""
    energy = (record["performance"] or {}).get("energy")
    if not energy:
        return ""
    if energy["error"]:
        return f"not known: {energy['source']} could not be read ({energy['error']})"
    shares = (
        f"{energy[f'energy_per_{each}_j']:.4g} J per {each}"
        for each in ("query", "sample")
        if energy[f"energy_per_{each}_j"] is not None
    )
    powers = {
        "average": energy["average_power_w"],
        "peak": energy["peak_power_w"],
        "idle": record.get("idle_power_w"),
    }
    watts = (f"{name} {value:.4g} W" for name, value in powers.items() if value is not None)
    facts = (*shares, *watts, f"{energy['energy_j']:.4g} J in {energy['duration_s']:.2f} s")
    return f"{', '.join(facts)}; estimated by {energy['source']}, not wall power"


def _interval(performance: dict[str, Any]) -> str:
    """The judged percentile's interval and how it went over the run."""
    statistics, settings = performance["statistics"], performance["settings"]
    name = f"p{settings['percentile']:g}"
    ends = statistics["latency_interval_ms"].get(name)
    thirds = statistics["latency_thirds_ms"].get(name)
    parts = []
    if ends:
        parts.append(f"{name} between {ends[0]:.3f} and {ends[1]:.3f} at 95 % confidence")
    if thirds:
        parts.append(f"{name} by thirds of the run " + ", ".join(f"{ms:.3f}" for ms in thirds))
    return "; ".join(parts)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _constraints(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("constraint", no_wrap=True)
    for column in ("required", "measured", "", "hint"):
        table.add_column(column, overflow="fold")
    for row in rows:
        mark = Text("met", style="green") if row["passed"] else Text("MISSED", style="red")
        table.add_row(row["name"], row["required"], row["measured"], mark, row["hint"])
    return table


def _accuracy(accuracy: dict[str, Any], model: dict[str, Any]) -> RenderableType:
    quality, target = accuracy["quality"], accuracy["target"]
    table = Table.grid(padding=(0, 2))
    unit = quality["unit"]
    table.add_row(quality["name"], f"{quality['value']:.3f} {unit} ({quality['note']})")
    met = Text("met", style="green") if target["passed"] else Text("MISSED", style="red")
    fp32 = f"FP32's {target['reference']:.3f} {unit}, measured on the same data"
    asked = f">= {target['required']:.3f} {unit}"
    published = accuracy.get("published_target")
    if target.get("published"):
        asked += f", which the rules ask of this data ({fp32})  "
    elif target["reference"] > 0:
        asked += f" = {target['ratio']:.0%} of {fp32}  "
    else:
        asked = f"{NOTHING_RIGHT}  "
    table.add_row("target", Text.assemble(asked, met))
    if published is not None and not target.get("published"):
        text = f"{published:g} {unit} is what the rules ask of the trained network on all of it"
        table.add_row("published", text)
    if how := model.get("quantisation"):
        table.add_row(model["precision"], how)
    return table


def edition_text(edition: dict[str, Any]) -> str:
    """What one edition of the rules says of a run, in a line."""
    if edition["met"]:
        return "met by this run"
    rows = edition["missed"]
    if rows[0]["name"] == "model":
        return f"does not have {rows[0]['measured']}"
    missed = (f"{row['name']} {row['required']} ({row['measured']})" for row in rows)
    return "missed: " + "; ".join(missed)


def edition_rows(editions: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Editions and what they say of a run; those in a row that say the same share a line."""
    for text, same in groupby(editions, edition_text):
        yield ", ".join(edition["edition"] for edition in same), text


def _editions(editions: Sequence[dict[str, Any]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for names, text in edition_rows(editions):
        table.add_row(f"rules {names}", Text(text))
    return table


def why_not(record: dict[str, Any]) -> str:
    """What kept a record from counting, in a cell of a table."""
    return ", ".join(missed(record)) or (record["message"] or "")


def comparison(records: Sequence[dict[str, Any]]) -> Table:
    """One row a benchmark, in the order they ran."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    differing = apart(records)
    columns = ["model", "scenario", "sut", "precision", "result", "p50 ms", "p99 ms"]
    if any(differing):
        columns.insert(4, "with")
    for column in columns:
        table.add_column(column, justify="right" if column.endswith("ms") else "left")
    for column in ("quality", "verdict", "why not"):
        table.add_column(column, overflow="fold")
    for record, overrides in zip(records, differing, strict=True):
        performance = record["performance"] or {}
        latency = (performance.get("statistics") or {}).get("latency_ms", {})
        table.add_row(
            *names_of(record),
            *([overrides] if any(differing) else []),
            metric_text(record),
            *(f"{latency[p]:.3f}" if p in latency else "-" for p in ("p50", "p99")),
            quality_text(record["accuracy"]),
            Text(str(record["verdict"]), style=STYLES.get(record["verdict"], "yellow")),
            why_not(record),
        )
    return table


def show(renderable: RenderableType) -> None:
    """Print to stdout, as wide as the terminal; elsewhere wide enough for every table."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(renderable)
        return
    console = Console(highlight=False, width=200)
    with console.capture() as text:
        console.print(renderable)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))
