"""The reference networks by the ``kind`` that a config names them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.config import Preprocessing
from engine.models import (
    gnmt,
    mobilenet_v1,
    resnet50_v1_5,
    ssd_mobilenet_v1,
    ssd_mobilenet_v2,
    ssd_resnet34,
)
from engine.models.graph import Builder, Network
from engine.models.ssd import Detector


@dataclass(frozen=True)
class Reference:
    """How to build a reference network, and what the fitted weights expect of an image.

    ``build(name, width, size, depth)``; conf/model/ holds the same ``preprocessing``. A detector
    can be had in its parts too: ``detector(width, size)``.
    """

    build: Callable[[str, float, int, float], Network]
    preprocessing: Preprocessing
    detector: Callable[[float, int], tuple[Builder, Detector]] | None = None


REFERENCES = {
    "mobilenet_v1": Reference(
        mobilenet_v1.network, Preprocessing(scale=127.5, mean=[1.0, 1.0, 1.0])
    ),
    "resnet50_v1_5": Reference(resnet50_v1_5.network, Preprocessing(mean=[123.68, 116.78, 103.94])),
    "resnet50_v1_0": Reference(
        partial(resnet50_v1_5.network, v1=True), Preprocessing(mean=[123.68, 116.78, 103.94])
    ),
    "ssd_mobilenet_v1": Reference(
        ssd_mobilenet_v1.network,
        Preprocessing(size=300, resize=300, scale=127.5, mean=[1.0, 1.0, 1.0]),
        ssd_mobilenet_v1.detector,
    ),
    "ssd_mobilenet_v2": Reference(
        ssd_mobilenet_v2.network,
        Preprocessing(size=300, resize=300, scale=127.5, mean=[1.0, 1.0, 1.0]),
        ssd_mobilenet_v2.detector,
    ),
    "ssd_resnet34": Reference(
        ssd_resnet34.network,
        Preprocessing(
            size=1200,
            resize=1200,
            scale=255.0,
            mean=[0.485, 0.456, 0.406],
            std=[0.229, 0.224, 0.225],
        ),
        ssd_resnet34.detector,
    ),
    "gnmt": Reference(gnmt.network, Preprocessing()),
}


def network_of(
    kind: str, width: float = 1.0, size: int | None = None, depth: float = 1.0
) -> Network:
    """The network of that kind without weights: the reference one, or a smaller version.

    ``width``: factor on the number of channels; ``size``: side of the input in pixels; ``depth``:
    factor on the number of blocks, or recurrent layers, that follow one another and are alike.
    """
    found = REFERENCES[kind]
    size = size or found.preprocessing.size
    parts = [f"w{width:g}"] * (width != 1) + [f"d{depth:g}"] * (depth != 1)
    parts += [f"{size}"] * (size != found.preprocessing.size)
    return found.build("_".join([kind, *parts]), width, size, depth)


def variant_of(kind: str, width: float = 1.0, size: int | None = None, depth: float = 1.0) -> str:
    """What makes a network differ from the reference one of its kind, "" if nothing does."""
    small = size not in (None, REFERENCES[kind].preprocessing.size)
    parts = [f"width {width:g}"] * (width != 1) + [f"depth {depth:g}"] * (depth != 1)
    parts += [f"{size}x{size}"] * small
    return ", ".join(parts)
