"""Pictures of a record, as matplotlib figures. matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.report.summary import names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

PASSED, FAILED, BOUND = "#2a7f62", "#b23a48", "#555555"


def canvas() -> tuple[Figure, Axes]:
    """An empty picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis without powers of ten, and between them where there is room."""
    low, high = axis.get_view_interval()
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}" if high < 30 * low else "")


def _title(record: dict[str, Any]) -> str:
    return " · ".join((*names_of(record), str(record["verdict"])))


def plan_plot(record: dict[str, Any]) -> Figure | None:
    """Rate against tail latency by simulation of the profile, with the bound and the peak."""
    plan = record["plan"] or {}
    if "best" not in plan:
        return None
    figure, axes = canvas()
    axes.plot(*zip(*plan["tails"], strict=True), color=PASSED, marker="o", markersize=3)
    axes.axhline(plan["bound_ms"], color=BOUND, linestyle="--", label="bound")
    axes.axvline(plan["best"]["peak_qps"], color=FAILED, linestyle=":", label="peak")
    if ends := plan["interval_qps"]:
        axes.axvspan(*ends, color=FAILED, alpha=0.12, linewidth=0, label="peak, 95 % interval")
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xlabel("queries/s")
    axes.set_ylabel(f"p{plan['percentile']:g} latency (ms)")
    best = plan["best"]
    axes.set_title(
        f"{' · '.join(names_of(record))}: simulated from its profile\n"
        f"peak {best['peak_qps']:.4g} queries/s at batches of up to {best['max_batch']}, "
        f"wait {best['max_wait_us']:g} us, bound {plan['bound_ms']:g} ms",
        fontsize="medium",
    )
    axes.legend(frameon=False)
    return figure


def latency_plot(record: dict[str, Any]) -> Figure | None:
    """Cumulative distribution of the latency, stretched towards the tail, with the bound."""
    performance = record["performance"] or {}
    points = (performance.get("statistics") or {}).get("latency_cdf") or []
    if len(points) == 0 or points[0][1] == points[-1][1]:
        return None
    figure, axes = canvas()
    percents = [min(percent, 99.99) for percent, _ in points]
    axes.plot([ms for _, ms in points], [100 / (100 - p) for p in percents], color=PASSED)
    axes.set_yscale("log")
    ticks = (0, 50, 90, 95, 99, 99.9, 99.99)
    axes.set_yticks([100 / (100 - p) for p in ticks], [f"{p:g} %" for p in ticks])
    axes.minorticks_off()
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set_xlabel("query latency from the scheduled time (ms)")
    axes.set_ylabel("queries at least as fast")
    axes.set_title(_title(record))
    if bound_ms := performance["settings"]["bound_ms"]:
        axes.axvline(bound_ms, color=BOUND, linestyle="--", label=f"bound {bound_ms:g} ms")
        axes.legend(frameon=False)
    return figure


def search_plot(record: dict[str, Any]) -> Figure | None:
    """Rate against tail latency: every probe, the bound, the bracket and the answer."""
    search = record["search"] or {}
    probes = [probe for probe in search.get("probes", []) if probe["tail_ms"] is not None]
    if not probes:
        return None
    figure, axes = canvas()
    for kind, marker in (("probe", "o"), ("confirm", "D")):
        for outcome, colour in (("PASS", PASSED), ("FAIL", FAILED), ("UNDECIDED", BOUND)):
            some = [p for p in probes if p["kind"] == kind and p["outcome"] == outcome]
            if some:
                axes.scatter(
                    [p["rate_qps"] for p in some],
                    [p["tail_ms"] for p in some],
                    marker=marker,
                    color=colour,
                    label=f"{kind} {outcome}",
                    zorder=3,
                )
    for name, bound_ms in search.get("bounds_ms", {}).items():
        style = ":" if name == "tpot" else "--"
        of = "" if name == "latency" else f"{name} "
        axes.axhline(bound_ms, color=BOUND, linestyle=style, label=f"{of}bound {bound_ms:g} ms")
    if ends := search.get("interval_qps"):
        axes.axvspan(*ends, color=PASSED, alpha=0.12, label="peak, 95 % interval")
    low, high = search.get("low_qps"), search.get("high_qps")
    if low and high:
        axes.plot(
            [low, high],
            [0.02, 0.02],
            color=BOUND,
            marker="|",
            transform=axes.get_xaxis_transform(),
            label="highest PASS to lowest FAIL",
        )
    if best := search.get("best_qps"):
        axes.axvline(best, color=PASSED, alpha=0.5, label=f"confirmed {best:.4g} qps")
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xlabel("rate of the Poisson arrivals (queries/s)")
    axes.set_ylabel("tail latency (ms)")
    axes.set_title(_title(record))
    axes.legend(frameon=False)
    return figure
