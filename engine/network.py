"""What the config says of a network: group ``model``."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.fields import limited

TASKS = ("image_classification", "object_detection", "translation")
NETWORKS = (
    "mobilenet_v1",
    "resnet50_v1_5",
    "resnet50_v1_0",
    "ssd_mobilenet_v1",
    "ssd_mobilenet_v2",
    "ssd_resnet34",
    "gnmt",
    "onnx",
)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input: resize, centre crop, ``(x / scale - mean) / std``.

    A detector's images are not cropped: both sides are resized to ``size``.
    """

    size: int = limited(224, at_least=8, at_most=4096)
    resize: int = limited(256, at_least=8, at_most=8192)
    channels: str = limited("rgb", choices=("rgb", "bgr"))
    layout: str = limited("nchw", choices=("nchw", "nhwc"))
    scale: float = limited(1.0, more_than=0)
    mean: list[float] = limited([0.0, 0.0, 0.0], items=3)
    std: list[float] = limited([1.0, 1.0, 1.0], more_than=0, items=3)


@dataclass(frozen=True)
class Outputs:
    """Names of the outputs of an ONNX file that is run as it is, as the suite published it.

    ``classes``: a classifier's class index or scores, where label = index + ``label_offset``; a
    detector's category of each box, which is COCO's id or (``coco80``) the place among the ids of
    its 80 categories, from 1. ``boxes``: [n, k, 4] as shares of the sides, ``corners`` their
    order. ``scores``: [n, k].
    """

    classes: str | None = None
    boxes: str | None = None
    scores: str | None = None
    label_offset: int = limited(0, at_least=-1, at_most=1)
    corners: str = limited("yxyx", choices=("yxyx", "xyxy"))
    categories: str = limited("ids", choices=("ids", "coco80"))


@dataclass(frozen=True)
class Model:
    """Group ``model``: a reference network built from code, or a network of the user's own.

    ``width`` (a factor on the number of channels), ``depth`` (on that of the blocks, or recurrent
    layers, that follow one another and are alike) and ``size`` (side of the input in pixels, null
    for the reference network's) make small versions of a reference network.
    """

    kind: str = limited(choices=NETWORKS)
    name: str = limited()
    task: str = limited("image_classification", choices=TASKS)
    width: float = limited(1.0, more_than=0, at_most=1)
    depth: float = limited(1.0, more_than=0, at_most=1)
    size: int | None = limited(None, at_least=32, at_most=4096)
    path: str | None = None
    weights: str | None = None
    seed: int = limited(0, at_least=0)
    input: str | None = None
    output: str | None = None
    label_offset: int = limited(0, at_least=-1, at_most=1)
    outputs: Outputs = field(default_factory=Outputs)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @property
    def version(self) -> tuple[str, float, int | None, float]:
        """Which version of a reference network, as ``engine.models.reference`` takes it."""
        return self.kind, self.width, self.size, self.depth
