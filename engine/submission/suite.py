"""What each round takes in the closed division: the scenarios of a model, by type of system."""

from __future__ import annotations

Scenarios = tuple[str, ...]
Models = dict[str, Scenarios]

_STREAMS = ("single_stream", "multi_stream", "offline")
_ALONE = ("single_stream", "offline")
_SERVED = ("server", "offline")
_ALL = ("single_stream", "multi_stream", "offline", "server")
_OTHERS: Models = {"bert": _ALONE, "unet3d": _ALONE}

_EDGE: Models = {"resnet50": _STREAMS, "retinanet": _STREAMS, **_OTHERS}
_EDGE_V6: Models = {"resnet50": _STREAMS, **_OTHERS}
_BOTH: Models = {"resnet50": _ALL, "retinanet": _ALL, **_OTHERS}
_BOTH_V6_1: Models = {"resnet50": _ALL, **_OTHERS}
_VOLUMES: Models = {"unet3d": ("offline",)}

# By round, type of system and our model names, of the suite's models that are named here.
REQUIRED: dict[str, dict[str, Models]] = {
    "v5_0": {
        "edge": _EDGE,
        "datacenter": {"resnet50": _SERVED, "retinanet": _SERVED, **_VOLUMES},
        "datacenter,edge": _BOTH,
    },
    "v5_1": {
        "edge": _EDGE,
        "datacenter": {"retinanet": _SERVED, **_VOLUMES},
        "datacenter,edge": _BOTH,
    },
    "v6_0": {"edge": _EDGE_V6, "datacenter": _VOLUMES, "datacenter,edge": _BOTH},
    "v6_1": {"edge": _EDGE_V6, "datacenter": _VOLUMES, "datacenter,edge": _BOTH_V6_1},
}


def required(edition: str, system_type: str, model: str) -> Scenarios | None:
    """The scenarios that a closed result of ``model`` must come in; None if it is not taken.

    ``system_type``: as in a system description, in either order.
    """
    kind = ",".join(sorted(system_type.lower().split(",")))
    return REQUIRED.get(edition, {}).get(kind, {}).get(model)
