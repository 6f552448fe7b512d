"""The reference networks by the ``kind`` that a config names them with."""

from __future__ import annotations

from engine.config import Preprocessing
from engine.models import mobilenet_v1, resnet50_v1_5
from engine.models.graph import Network

_NETWORKS = {"mobilenet_v1": mobilenet_v1.network, "resnet50_v1_5": resnet50_v1_5.network}

PREPROCESSING = {
    "mobilenet_v1": Preprocessing(scale=127.5, mean=[1.0, 1.0, 1.0]),
    "resnet50_v1_5": Preprocessing(mean=[123.68, 116.78, 103.94]),
}
"""What the fitted weights expect of an image; conf/model/ holds the same values."""


def network_of(kind: str) -> Network:
    """The reference network of that kind, without weights."""
    return _NETWORKS[kind]()
