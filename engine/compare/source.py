"""From what a user names (a file, a folder, an MLflow run) to a side of a comparison."""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from engine.compare.side import Side, of_published, of_record
from engine.errors import ConfigError
from engine.record import FILE, LOG_FILE, without_secret

RUN_ID = re.compile(r"[0-9a-f]{32}")
PUBLISHED = "published.json"


def read_side(name: str, uri: str | None) -> Side:
    """The result that ``name`` means; ``uri`` is the store that run ids are looked up in.

    Raises ConfigError for what is none.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        path = path / FILE
    if path.is_file():
        return of_record(_json(path), name, path.parent)
    if RUN_ID.fullmatch(name):
        return _of_run(name, uri)
    raise ConfigError(
        f"{name} is no result: name a {FILE}, the folder of a run, or the id of an MLflow run."
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _of_run(run_id: str, uri: str | None) -> Side:
    from engine.tracking import store_uri

    where = store_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = _downloaded(run_id, where, folder)
        except Exception as error:  # any backend, any driver
            first = without_secret(next(iter(str(error).splitlines()), ""))
            raise ConfigError(
                f"The run {run_id} cannot be had from MLflow at {without_secret(where)}: {first}"
            ) from error
        if FILE in found:
            return of_record(_json(found[FILE]), run_id[:8], Path(folder))
        if PUBLISHED in found:
            return of_published(_json(found[PUBLISHED]), run_id[:8])
    raise ConfigError(f"The run {run_id} has no {FILE}: it is no result of this program.")


def _downloaded(run_id: str, uri: str, folder: str) -> dict[str, Path]:
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # of a file of kilobytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        client = mlflow.MlflowClient(uri)
        names = {item.path for item in client.list_artifacts(run_id)}
        wanted = names & {FILE, LOG_FILE, PUBLISHED}
        return {name: Path(client.download_artifacts(run_id, name, folder)) for name in wanted}
