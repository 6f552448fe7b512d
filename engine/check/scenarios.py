"""The scenarios that a closed system must have of each model that it submits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from engine.published.entry import Entry, Finding

# By system type and our model names (v5.0 to v6.1).
REQUIRED = {
    "edge": {
        "resnet50": ("single_stream", "multi_stream", "offline"),
        "retinanet": ("single_stream", "multi_stream", "offline"),
        "bert": ("single_stream", "offline"),
        "unet3d": ("single_stream", "offline"),
    },
    "datacenter": {
        "resnet50": ("server", "offline"),
        "retinanet": ("server", "offline"),
        "unet3d": ("offline",),
    },
}


def missing_scenarios(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Which scenarios closed results lack, of the models that are known here."""
    there: dict[tuple[str, str], set[str]] = defaultdict(set)
    needed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        if entry.division == "closed":
            types = str(entry.description.get("system_type", "")).lower()
            place = entry.path.rpartition("/")[0], types
            there[place].add(entry.scenario)
            for system_type in types.split(","):
                needed[place].update(REQUIRED.get(system_type, {}).get(entry.model, ()))
    for (folder, types), scenarios in needed.items():
        if lacking := sorted(scenarios - there[folder, types]):
            message = f"a closed system ({types}) also needs {', '.join(lacking)}"
            yield Finding(folder, "scenario", message)
