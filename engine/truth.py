"""Whether a network can know the answers of the data, by the config alone."""

from __future__ import annotations

from engine.config import Config
from engine.errors import ConfigError

REAL_DATA = {"image_classification": "imagenet", "object_detection": "coco", "translation": "wmt16"}
"""The data set of each task that was not made by this program."""


def must_know_the_truth(config: Config) -> None:
    """Raise ConfigError where the quality of a network that never learnt the data is asked for.

    A data set would be prepared, and a network built, for answers that mean nothing.
    """
    model, data = config.model, config.dataset
    if not config.measures_quality:
        return
    if data.kind == "synthetic":
        if why := _unfitted(config):
            raise ConfigError(
                f"mode={config.mode}: {why}, so its answers would mean nothing. "
                f"{_fitted_versions(config)}. Choose one of these, "
                f"dataset={REAL_DATA[model.task]} dataset.path=FOLDER, or mode=performance."
            )
    elif model.kind != "onnx" and model.weights is None and model.path is None:
        raise ConfigError(
            f"mode={config.mode}: the weights of {model.name} are made here, not trained on "
            f"{data.name}. Set model.weights=FILE, use dataset=synthetic, or mode=performance."
        )


def _unfitted(config: Config) -> str | None:
    """What keeps the network from knowing the synthetic data: its weights, its seed or its size."""
    from engine.models.reference import network_of, variant_of
    from engine.models.weights import FITTED_SEED, has_fitted

    model = config.model
    if file := model.path if model.kind == "onnx" else model.weights:
        return f"the weights of model={model.name} were not fitted to synthetic data ({file})"
    if model.kind == "onnx":  # a path is missing, which is said where it is needed
        return None
    if model.seed != FITTED_SEED:
        return f"the weights of model={model.name} with model.seed={model.seed} were never fitted"
    if has_fitted(network_of(*model.version).name):
        return None
    at = variant_of(*model.version) or "its full size"
    return f"model={model.name} has no last layers fitted to the synthetic data at {at}"


def _fitted_versions(config: Config) -> str:
    """The keys that choose weights which know the synthetic data."""
    from engine.models.weights import fitted_versions

    name = config.model.name
    found = fitted_versions(config.model.kind)
    shown = " or ".join(f"model={name} {keys}".strip() for keys in found)
    return f"Fitted are: {shown} (model.seed=0)" if found else f"No version of {name} is fitted"
