"""SSD-MobileNet-v1 300x300 as TensorFlow's detection models have it: 1x1 heads on two of the
backbone's feature maps and on four that halve the side each time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.models import mobilenet_v1
from engine.models.graph import Builder, Network, same, scaled
from engine.models.ssd import Detector, Level, detect

SIZE = 300
CATEGORIES = tuple(range(1, 91))
"""Class index = COCO's category id, the ten unused ones among them included."""

SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
"""(1x1, 3x3 with stride 2) channels of each further feature map."""


def network(name: str, width: float = 1.0, size: int = SIZE, depth: float = 1.0) -> Network:
    """Backbone, four further feature maps, and the detector."""
    return detect(*detector(width, size, depth), name, size)


def detector(width: float, size: int, depth: float = 1.0) -> tuple[Builder, Detector]:
    """All that comes before the heads, and the feature maps with what to do with them."""
    b = Builder(epsilon=mobilenet_v1.EPSILON)
    *_, last_of_512, _, last = mobilenet_v1.backbone(b, width, size, depth)
    maps = [last_of_512, last]
    for number, (inner, outputs) in enumerate(EXTRAS, 1):
        inner, outputs = scaled(inner, width), scaled(outputs, width)
        maps.append(_halved(b, maps[-1], f"extras.{number}", inner, outputs))
    levels = [
        Level(x, channels, side, default_sizes(number))
        for number, (x, channels, side) in enumerate(maps)
    ]
    return b, suppressed(levels)


def suppressed(levels: Sequence[Level]) -> Detector:
    """What TensorFlow's detection models do with the answers on these feature maps."""
    return Detector(tuple(levels), CATEGORIES, "Sigmoid", score_threshold=0.3, overlap=0.6)


def default_sizes(number: int) -> tuple[tuple[float, float], ...]:
    """Height and width of the default boxes on a level: three on the first, six on the others."""
    scale, following = SCALES[number : number + 2]
    if number == 0:
        shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
        shapes = [(scale, ratio) for ratio in RATIOS] + [(math.sqrt(scale * following), 1.0)]
    return tuple((side / math.sqrt(ratio), side * math.sqrt(ratio)) for side, ratio in shapes)


def _halved(
    b: Builder, source: tuple[str, int, int], name: str, inner: int, outputs: int
) -> tuple[str, int, int]:
    x, channels, side = source
    x = b.conv(x, f"{name}.0", (inner, channels, 1))
    x = b.relu6(b.batch_norm(x, f"{name}.0_bn", inner))
    pads, side = same(side, 2)
    x = b.conv(x, f"{name}.1", (outputs, inner, 3), 2, pads)
    return b.relu6(b.batch_norm(x, f"{name}.1_bn", outputs)), outputs, side
