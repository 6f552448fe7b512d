"""Dataclass fields that carry their own limits, and the check that enforces them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from omegaconf import MISSING

from engine.errors import ConfigError

COUNT = "so many items"


def limited(
    default: Any = MISSING,
    *,
    items: int | None = None,
    at_least: float | None = None,
    more_than: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field whose value, unless None, must keep within the limits given.

    ``items``: how many a list must have. Numbers must be finite.
    """
    limits = {
        "at least": at_least,
        "more than": more_than,
        "at most": at_most,
        "one of": choices,
        COUNT: items,
    }
    metadata = {word: limit for word, limit in limits.items() if limit is not None}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(node: Any, where: str) -> None:
    """Raise ConfigError for the first field of the dataclass ``node`` outside its limits.

    ``where`` is the config group, so that the message can name ``group.key``.
    """
    for key, value, metadata in _leaves(node, where):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value} is not allowed: it must be finite.")
        if value is not None and not all(_within(value, *limit) for limit in metadata.items()):
            allowed = " and ".join(f"{word} {shown(limit)}" for word, limit in metadata.items())
            raise ConfigError(f"{key}={shown(value)} is not allowed: it must be {allowed}.")


def _leaves(node: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    for field in dataclasses.fields(node):
        value, key = getattr(node, field.name), f"{where}.{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, key)
        elif isinstance(value, list):
            limits = dict(field.metadata)
            count = limits.pop(COUNT, None)
            if count not in (None, len(value)):
                raise ConfigError(f"{key}={value} is not allowed: it must have {count} items.")
            yield from ((f"{key}[{i}]", item, limits) for i, item in enumerate(value))
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}", item, field.metadata) for name, item in value.items())
        else:
            yield key, value, field.metadata


def _within(value: Any, word: str, limit: Any) -> bool:
    match word:
        case "at least":
            return bool(value >= limit)
        case "more than":
            return bool(value > limit)
        case "at most":
            return bool(value <= limit)
        case _:
            return value in limit


def shown(value: Any) -> str:
    """A value, or several that are allowed, as the user would write it."""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
