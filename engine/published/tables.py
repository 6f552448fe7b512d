"""The paper's tables and figures over a round's closed division, as rows of plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from engine.config import SCENARIOS
from engine.published.entry import Entry

Row = dict[str, object]


def coverage(entries: Iterable[Entry]) -> list[Row]:
    """Table VI: how many results each model has in each scenario, and the totals."""
    entries = list(entries)
    models = sorted({entry.model for entry in entries})
    found = [_counts(model, [e for e in entries if e.model == model]) for model in models]
    return [*found, _counts("total", entries)]


def _counts(name: str, entries: Sequence[Entry]) -> Row:
    counts = {s: sum(entry.scenario == s for entry in entries) for s in SCENARIOS}
    return {"model": name, **counts}


def server_against_offline(entries: Iterable[Entry]) -> list[Row]:
    """Figure 6: server throughput as a share of offline's, by system and model that have both."""
    rates: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for entry in entries:
        if entry.scenario in ("server", "offline"):
            rates[entry.submitter, entry.system, entry.model][entry.scenario] = entry.value
    return [
        {
            "submitter": submitter,
            "system": system,
            "model": model,
            "server_qps": both["server"],
            "offline_samples_per_s": both["offline"],
            "server_over_offline": both["server"] / both["offline"],
        }
        for (submitter, system, model), both in sorted(rates.items())
        if len(both) == 2 and both["offline"] > 0
    ]


def relative_performance(entries: Iterable[Entry]) -> list[Row]:
    """Figure 8: each result relative to the slowest of its model and scenario."""
    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.value > 0:
            groups[entry.model, entry.scenario, entry.metric].append(entry)
    rows: list[Row] = []
    for (model, scenario, _), group in sorted(groups.items()):
        slowest = min(group, key=_speed)
        rows += [
            {
                "model": model,
                "scenario": scenario,
                "submitter": entry.submitter,
                "system": entry.system,
                "value": entry.value,
                "unit": entry.unit,
                "relative": _speed(entry) / _speed(slowest),
            }
            for entry in sorted(group, key=_speed)
        ]
    return rows


def _speed(entry: Entry) -> float:
    return entry.value if entry.higher_is_better else 1 / entry.value
