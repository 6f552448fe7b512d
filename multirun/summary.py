"""A sweep as rows: one flat row for each record."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

# Overrides that choose what the first columns of a row say.
NAMES = ("model=", "scenario=", "sut=", "precision=")


def rows(records: Sequence[dict[str, Any]]) -> list[Row]:
    """One row a record, every row with the same columns; units are in their names."""
    return [_row(record, text) for record, text in zip(records, apart(records), strict=True)]


def apart(records: Sequence[dict[str, Any]]) -> list[str]:
    """The overrides of each record that not all have, but for those that name a row anyway."""
    asked = [shlex.split(record["command"])[3:] for record in records]
    common = set.intersection(*map(set, asked)) if asked else set()
    return [
        " ".join(o for o in own if o not in common and not o.startswith(NAMES)) for own in asked
    ]


def missed(record: dict[str, Any]) -> list[str]:
    """Names of what kept a record from counting: constraints, its quality, audits."""
    rows = (record["performance"] or {}).get("constraints", [])
    names = [row["name"] for row in rows if not row["passed"]]
    target = (record["accuracy"] or {}).get("target")
    if target and not target["passed"]:
        names.append("quality")
    return names + [f"audit {audit['audit']}" for audit in missed_audits(record)]


def missed_audits(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The audits that a record did not pass, of those that apply to it."""
    passing = ("PASS", "NOT APPLICABLE")
    return [audit for audit in record.get("audits") or [] if audit["outcome"] not in passing]


def _row(record: dict[str, Any], overrides: str) -> Row:
    config = record["config"]
    performance = record["performance"] or {}
    statistics = performance.get("statistics") or {}
    metric = performance.get("metric") or {}
    latency = statistics.get("latency_ms", {})
    quality = (record["accuracy"] or {}).get("quality") or {}
    energy = performance.get("energy") or {}
    search = record["search"] or {}
    return {
        "model": config["model"]["name"],
        "scenario": config["scenario"]["name"],
        "sut": config["sut"]["name"],
        "precision": config["precision"]["name"],
        "rules": config["rules"]["name"],
        "overrides": overrides,
        "verdict": record["verdict"],
        "metric": metric.get("name"),
        "value": search.get("best_streams", search.get("best_qps"))
        if search
        else metric.get("value"),
        "unit": metric.get("unit"),
        "latency_p50_ms": latency.get("p50"),
        "latency_p90_ms": latency.get("p90"),
        "latency_p99_ms": latency.get("p99"),
        "completed_samples_per_s": statistics.get("completed_samples_per_s"),
        "energy_per_sample_j": energy.get("energy_per_sample_j"),
        "average_power_w": energy.get("average_power_w"),
        "quality_metric": quality.get("metric"),
        "quality": quality.get("value"),
        "missed": "; ".join(missed(record)),
        "message": record["message"],
    }


def as_csv(table: Sequence[Row]) -> str:
    """The rows as CSV with a header; None becomes an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
