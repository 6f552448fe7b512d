"""Logging a finished record to MLflow. A failure here warns and loses nothing."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from engine.config import Config
from engine.record import FILE, LOG_FILE, Json, without_secret
from engine.report import files, html
from engine.report.plots import latency_plot, plan_plot, search_plot

DEFAULT_STORE = Path("runs/mlflow.db")
VALUE_LIMIT = 6000
# Its page then opens on the table of runs, and not on the traces of a language model.
SHOWN_AS = {"mlflow.experimentKind": "custom_model_development"}


class Tracker(Protocol):
    """Where records go besides their own folder."""

    def connect(self) -> None:
        """Reach the store, before anything is timed."""

    def log(self, record: Json, folder: Path) -> str | None:
        """Log a finished record; what to tell the user of it."""


class NoTracker:
    """Nothing besides the folder."""

    def connect(self) -> None:
        """Nothing to reach."""

    def log(self, record: Json, folder: Path) -> None:
        """Nothing to log."""


class MlflowTracker:
    """MLflow: one run for the benchmark, a nested one for each probe of its search."""

    def __init__(self, config: Config, warn: Callable[[str], None]) -> None:
        self.uri = store_uri(config.tracking.uri)
        self.experiment = config.tracking.experiment or (
            f"{config.model.name}/{config.scenario.name}"
        )
        self._warn = warn
        self._experiment_id: str | None = None

    def connect(self) -> None:
        """Open the store and the experiment; a failure is said and ends the tracking."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._experiment_id = self._open()
        except Exception as error:  # any backend, any driver: a result must not depend on it
            self._warn(
                f"MLflow at {without_secret(self.uri)} cannot be reached, this run is not "
                f"tracked: {self._reason(error)}"
            )

    def _reason(self, error: Exception) -> str:
        """An error's first line, without the secret that its text may repeat."""
        first = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {without_secret(first)}"

    def _open(self) -> str:
        return open_experiment(self.uri, self.experiment)

    def log(self, record: Json, folder: Path) -> str | None:
        """Log parameters, metrics, pictures, config and result."""
        if self._experiment_id is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._log(record, folder)
        except Exception as error:
            self._warn(
                f"MLflow did not take this run ({self._reason(error)}); "
                f"it is complete in {folder / FILE}"
            )
            return None
        return f"{self.experiment} at {without_secret(self.uri)}"

    def _log(self, record: Json, folder: Path) -> None:
        import mlflow
        from mlflow.entities import Metric, Param, RunTag

        assert self._experiment_id is not None
        client = mlflow.MlflowClient(self.uri)
        name = f"{record['sut']['name']} {record['config']['precision']['name']}"
        started_ms, ended_ms = (_epoch_ms(record[key]) for key in ("created", "ended"))
        parent = client.create_run(
            self._experiment_id, run_name=name, tags=_tags(record), start_time=started_ms
        )
        run_id = parent.info.run_id
        params = [Param(key, str(value)[:VALUE_LIMIT]) for key, value in _flat(record["config"])]
        client.log_batch(run_id, params=params)
        metrics = [Metric(key, value, ended_ms, 0) for key, value in metrics_of(record).items()]
        client.log_batch(run_id, metrics=metrics)
        pictures = {"latency_cdf": latency_plot, "search": search_plot, "plan": plan_plot}
        for figure, draw in pictures.items():
            if (picture := draw(record)) is not None:
                client.log_figure(run_id, picture, f"{figure}.png")
        for file in (FILE, LOG_FILE, html.FILE, files.MARKDOWN):
            if (folder / file).is_file():
                client.log_artifact(run_id, str(folder / file))
        client.log_dict(run_id, record["config"], "config.yaml")
        for number, probe in enumerate((record["search"] or {}).get("probes", [])):
            child = client.create_run(
                self._experiment_id,
                run_name=f"{probe['kind']}_{number:02}_qps{probe['rate_qps']:.4g}",
                start_time=started_ms,
                tags={"mlflow.parentRunId": run_id},
            ).info.run_id
            figures = {k: v for k, v in probe.items() if isinstance(v, int | float)}
            client.log_batch(
                child,
                metrics=[Metric(k, float(v), ended_ms, 0) for k, v in figures.items()],
                tags=[RunTag("verdict", probe["outcome"]), RunTag("kind", probe["kind"])],
            )
            client.set_terminated(child, end_time=ended_ms)
        status = "FINISHED" if record["finished"] else "FAILED"
        client.set_terminated(run_id, status, ended_ms)


def _epoch_ms(moment: str) -> int:
    """A time of the record as MLflow wants it."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def open_experiment(uri: str, name: str) -> str:
    """The id of the experiment ``name`` in the store at ``uri``, made if it is not there.

    Raises whatever the store raises.
    """
    # MLflow would report its use over the network from a thread of its own.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow

    for level in ("mlflow", "mlflow.store.db.utils", "alembic"):  # the import sets levels
        logging.getLogger(level).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = uri.startswith("sqlite:///")
    store = Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts"
    location = store.as_uri() if local else None
    return str(mlflow.create_experiment(name, location, SHOWN_AS))


def store_uri(configured: str | None = None) -> str:
    """The store that is meant: the one given, MLFLOW_TRACKING_URI, or one beside the runs."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or _local_store()


def tracker_for(config: Config, warn: Callable[[str], None]) -> Tracker:
    """The tracker that the config names."""
    return NoTracker() if config.tracking.kind == "none" else MlflowTracker(config, warn)


def metrics_of(record: Json) -> dict[str, float]:
    """The record's figures under names that MLflow takes, each with its unit."""
    figures: dict[str, float | None] = {}
    if performance := record["performance"]:
        metric, statistics = performance["metric"], performance["statistics"] or {}
        figures[metric["name"]] = metric["value"]
        for name, value in statistics.get("latency_ms", {}).items():
            figures[f"latency_{name}_ms"] = value
        tokens = statistics.get("tokens") or {}
        for kind in ("ttft", "tpot"):
            for name, value in tokens.get(f"{kind}_ms", {}).items():
                figures[f"{kind}_{name}_ms"] = value
        figures["tokens_per_s"] = tokens.get("per_s")
        for name in ("completed_samples_per_s", "duration_s", "query_count", "batch_size_mean"):
            figures[name] = statistics.get(name)
        for name, value in statistics.get("wake_late_us", {}).items():
            figures[f"wake_late_{name}_us"] = value
    if energy := (record["performance"] or {}).get("energy"):
        names = ("energy_j", "energy_per_query_j", "energy_per_sample_j")
        for name in (*names, "average_power_w", "peak_power_w"):
            figures[name] = energy[name]
        figures["idle_power_w"] = record.get("idle_power_w")
    if beside := record.get("preprocessing"):
        for name, value in beside["statistics"]["latency_ms"].items():
            figures[f"preprocessed_latency_{name}_ms"] = value
        per_s = beside["statistics"]["completed_samples_per_s"]
        figures["preprocessed_completed_samples_per_s"] = per_s
    if search := record["search"]:
        figures["peak_qps"] = search.get("best_qps")
        figures["peak_streams"] = search.get("best_streams")
        for name, value in zip(("low", "high"), search.get("interval_qps") or (), strict=False):
            figures[f"peak_{name}_qps"] = value
        figures["unloaded_latency_ms"] = search.get("unloaded_ms")
        figures["offline_ceiling_qps"] = search.get("ceiling_qps")
    if best := (record["plan"] or {}).get("best"):
        figures["predicted_peak_qps"] = best["peak_qps"]
    if accuracy := record["accuracy"]:
        metric = accuracy["quality"]["metric"]
        figures[metric] = accuracy["quality"]["value"]
        figures[f"fp32_{metric}"] = accuracy["target"]["reference"]
    return {name: float(value) for name, value in figures.items() if value is not None}


def _tags(record: Json) -> dict[str, str]:
    config = record["config"]
    return {
        "verdict": str(record["verdict"]),
        "conformant": str(record["conformant"]),
        "rules": config["rules"]["name"],
        "model": config["model"]["name"],
        "scenario": config["scenario"]["name"],
        "sut": record["sut"]["name"],
        "precision": config["precision"]["name"],
        "command": record["command"],
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _local_store() -> str:
    DEFAULT_STORE.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{DEFAULT_STORE.absolute()}"
