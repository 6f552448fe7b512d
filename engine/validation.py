"""From a composed config to ``Config``, or to one message that says which key is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from engine import config as schema
from engine.errors import ConfigError
from engine.fields import check, shown
from engine.paths import conf_dir

# The classes of each group; where there are several, the group's key ``kind`` chooses.
GROUPS: dict[str, dict[str, type]] = {
    "model": {"": schema.Model},
    "dataset": {"": schema.Dataset},
    "scenario": {"": schema.Scenario},
    "sut": {
        "onnxruntime": schema.OnnxRuntimeSut,
        "openvino": schema.OpenVinoSut,
        "cupy": schema.CupySut,
        "tensorrt": schema.TensorRtSut,
        "remote": schema.RemoteSut,
        "null": schema.NullSut,
        "simulated": schema.SimulatedSut,
    },
    "precision": {"": schema.Precision},
    "rules": {"": schema.Rules},
    "search": {"": schema.Search},
    "plan": {"": schema.Plan},
    "audit": {"": schema.Audit},
    "power": {"": schema.Power},
    "submission": {"": schema.Submission},
    "tracking": {"": schema.Tracking},
}

# Groups that the choice of another one brings, and one of ours that does.
BROUGHT = {
    "dataset": ("model", "onnx"),
    "precision": ("model", "onnx"),
    "search": ("scenario", "server"),
}


def validate(composed: DictConfig) -> schema.Config:
    """The benchmark that ``composed`` describes.

    Raises ConfigError for an unknown key, a wrong type, a value out of range, a missing value
    or an interpolation that leads nowhere.
    """
    try:
        tree = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The config cannot be resolved: {_first_line(error)}") from error
    assert isinstance(tree, dict)
    names = [field.name for field in dataclasses.fields(schema.Config)]
    for key in set(tree) - set(names):
        raise ConfigError(_unknown(str(key), "the config", sorted(names)))
    groups = {name: _group(name, tree.get(name)) for name in GROUPS}
    mode = tree.get("mode")
    if mode not in schema.MODES:
        raise ConfigError(
            f"mode={shown(mode)} is not allowed: it must be one of {', '.join(schema.MODES)}."
        )
    folders: dict[str, Any] = {key: tree.get(key) for key in ("path", "cache_dir")}
    for key, folder in folders.items():
        if folder is not None and not isinstance(folder, str):
            raise ConfigError(f"{key}={shown(folder)} is not allowed: it must be a folder or null.")
    report = tree.get("report")
    if not isinstance(report, bool):
        raise ConfigError(f"report={shown(report)} is not allowed: it must be true or false.")
    return schema.Config(mode=str(mode), report=report, **folders, **groups)


def shipped_rules(name: str) -> schema.Rules | None:
    """The rules edition ``name`` as it came with this program, None if it did not."""
    file = conf_dir() / "rules" / f"{name}.yaml"
    if not file.is_file():
        return None
    node = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    rules: schema.Rules = _group("rules", node)
    return rules


def _group(name: str, node: object) -> Any:
    if not isinstance(node, Mapping):
        raise ConfigError(left_out(name))
    classes = GROUPS[name]
    kind = "" if "" in classes else str(node.get("kind"))
    if kind not in classes:
        wrong = " is missing" if node.get("kind") is None else f"={kind} is not allowed"
        raise ConfigError(f"{name}.kind{wrong}: it must be one of {', '.join(classes)}.")
    try:
        filled = OmegaConf.merge(_typed(classes[kind]), OmegaConf.create(dict(node)))
        built = OmegaConf.to_object(filled)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{name}.{error.full_key} is missing: set it to a value.") from error
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(name, node, classes[kind], error)) from error
    check(built, name)
    return built


def left_out(name: str) -> str:
    """What to do where no file brings the group ``name``."""
    if name not in BROUGHT:
        return f"The config has no {name}: choose one with {name}=NAME whose file is not empty."
    group, ours = BROUGHT[name]
    return (
        f"The {group} brings no {name}: begin the {group}'s file with `defaults: [{ours}, _self_]`,"
        f" or with the name of another {group} in the place of {ours}."
    )


@cache
def _typed(cls: type) -> DictConfig:
    """What the dataclass takes, to be merged into a copy."""
    return _writable(OmegaConf.structured(cls))


def _writable(node: DictConfig) -> DictConfig:
    """OmegaConf locks the nodes of frozen dataclasses; until they are built, they may change."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            _writable(node[key])
    return node


def _explain(name: str, node: Mapping[str, Any], cls: type, error: OmegaConfBaseException) -> str:
    path = str(error.full_key or "")
    value: Any = OmegaConf.select(OmegaConf.create(dict(node)), path) if path else node
    if "not in" in _first_line(error) and (problem := _unknown_in([cls], name, path)):
        return problem
    why = "set it to a value" if value is None else _first_line(error)
    return f"{name}.{path}={shown(value)} is not allowed: {why}."


def unknown_name(name: str) -> str | None:
    """What is wrong with an override of ``name``, None if it is a group, a key or Hydra's own."""
    known = [field.name for field in dataclasses.fields(schema.Config)] + ["experiment", "local"]
    if name.startswith(("+", "~", "-", "hydra")) or name in known:
        return None
    return _unknown(name, "the config", sorted(known))


def unknown_key(group: str, path: str) -> str | None:
    """What is wrong with the name ``group.path``, None if any choice of the group has it."""
    return _unknown_in(list(GROUPS[group].values()), group, path)


def _unknown_in(owners: list[type], where: str, path: str) -> str | None:
    for key in path.split("."):
        fields = {field.name: field for owner in owners for field in dataclasses.fields(owner)}
        if key not in fields:
            return _unknown(key, where, sorted(fields))
        inner = typing.get_type_hints(owners[0]).get(key)
        if inner is None or not dataclasses.is_dataclass(inner):
            return None
        assert isinstance(inner, type)
        owners, where = [inner], f"{where}.{key}"
    return None


def _unknown(key: str, where: str, keys: list[str]) -> str:
    near = difflib.get_close_matches(key, keys, n=1)
    suggestion = f" Did you mean {near[0]}?" if near else ""
    return f"{key} is not a key of {where}.{suggestion} Its keys: {', '.join(map(str, keys))}."


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
