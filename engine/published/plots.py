"""Pictures of the tables, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config import SCENARIOS
from engine.published.tables import Row
from engine.report.plots import canvas, plain_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORT = {"single_stream": "SS", "multi_stream": "MS", "server": "S", "offline": "O"}


def coverage_plot(rows: Sequence[Row]) -> Figure | None:
    """Table VI as stacked bars."""
    models = [row for row in rows if row["model"] != "total"]
    if not models:
        return None
    figure, axes = canvas()
    below = [0] * len(models)
    for scenario in SCENARIOS:
        counts = [int(str(row[scenario])) for row in models]
        axes.bar([str(row["model"]) for row in models], counts, bottom=below, label=scenario)
        below = [low + count for low, count in zip(below, counts, strict=True)]
    axes.set_ylabel("results of the closed division")
    axes.legend(frameon=False)
    return figure


def server_plot(rows: Sequence[Row]) -> Figure | None:
    """Figure 6: server throughput over offline throughput."""
    if not rows:
        return None
    figure, axes = canvas()
    names = [f"{row['system']}\n{row['model']}" for row in rows]
    shares = [float(str(row["server_over_offline"])) for row in rows]
    axes.barh(names, shares, color="#2a7f62")
    axes.invert_yaxis()
    axes.axvline(1, color="#555555", linestyle="--")
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("server throughput / offline throughput")
    figure.set_figheight(max(2.5, 0.4 * len(rows) + 1))
    return figure


def relative_plot(rows: Sequence[Row]) -> Figure | None:
    """Figure 8: performance relative to the slowest system, by model and scenario."""
    if not rows:
        return None
    figure, axes = canvas()
    groups = list(dict.fromkeys((str(row["model"]), str(row["scenario"])) for row in rows))
    names = [f"{model}\n({SHORT[scenario]})" for model, scenario in groups]
    at = [groups.index((str(row["model"]), str(row["scenario"]))) for row in rows]
    axes.scatter(at, [float(str(row["relative"])) for row in rows], color="#2a7f62", alpha=0.7)
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xticks(range(len(groups)), names, rotation=60, fontsize=7)
    axes.set_ylabel("performance relative to the slowest")
    figure.set_figwidth(max(7.5, 0.6 * len(groups)))
    return figure
