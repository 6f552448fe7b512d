"""Published results as MLflow runs, beside the runs of this machine."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable

from engine.published.entry import Entry
from engine.tracking import open_experiment


def log_entries(entries: Iterable[Entry], uri: str) -> tuple[int, int]:
    """Log each entry once into the experiment of its model and scenario.

    Returns how many were logged, and how many had been there. Raises what the store raises.
    """
    logged = there = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        client = mlflow.MlflowClient(uri)
        for entry in entries:
            experiment = open_experiment(uri, f"{entry.model}/{entry.scenario}")
            tags = tags_of(entry)
            same = " and ".join(f"tags.{key} = '{tags[key]}'" for key in ("source", "rules"))
            if client.search_runs([experiment], same, max_results=1):
                there += 1
                continue
            run = client.create_run(
                experiment, run_name=f"{entry.submitter} {entry.system}", tags=tags
            )
            figures = {entry.metric: entry.value, "quality": entry.quality}
            for name, value in figures.items():
                if value is not None:
                    client.log_metric(run.info.run_id, name, value)
            client.log_dict(run.info.run_id, dataclasses.asdict(entry), "published.json")
            client.set_terminated(run.info.run_id)
            logged += 1
    return logged, there


def tags_of(entry: Entry) -> dict[str, str]:
    """The tags that runs of this machine have too, and where the entry comes from."""
    return {
        "verdict": entry.verdict,
        "rules": entry.round,
        "model": entry.model,
        "scenario": entry.scenario,
        "sut": entry.system,
        "division": entry.division,
        "submitter": entry.submitter,
        "source": f"published {entry.path}".replace("'", " "),
    }
