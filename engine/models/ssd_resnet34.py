"""SSD-ResNet-34 1200x1200 as the suite has it: the backbone's first three stages, five further
feature maps, and 3x3 heads that look at every third place of each.

Its backbone's tensors carry torchvision's names.
"""

from __future__ import annotations

import math

from engine.errors import ConfigError
from engine.models.graph import Builder, Network, repeated, scaled
from engine.models.ssd import Detector, Level, detect

SIZE = 1200
SMALLEST = 448
"""Below that the last feature map would have no place left."""

CATEGORIES = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""COCO's 80 categories in the order of their ids: the id of class index 1, 2, ..."""

BRANCH_SCALE, SHORTCUT_NOISE, SHIFT = 0.1, 0.05, 1.0
"""What the seeded weights start from: quiet branches beside shortcuts near the identity."""

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 1))
"""(channels, blocks, stride of the first block)."""

EXTRAS = (
    # channels of the 1x1, of the 3x3; stride and padding of the 3x3
    (256, 512, 2, 1),
    (256, 512, 2, 1),
    (128, 256, 2, 1),
    (128, 256, 2, 0),
    (128, 256, 1, 0),
)
HEAD_STRIDE = 3
SIDES = (84, 180, 396, 612, 828, 1044, 1260)
"""Sides of the default boxes in pixels of 1200."""

RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))


def network(name: str, width: float = 1.0, size: int = SIZE, depth: float = 1.0) -> Network:
    """Backbone, five further feature maps, and the detector."""
    return detect(*detector(width, size, depth), name, size)


def detector(width: float, size: int, depth: float = 1.0) -> tuple[Builder, Detector]:
    """All that comes before the heads, and the feature maps with what to do with them."""
    b = Builder(epsilon=1e-5)
    if size < SMALLEST:
        raise ConfigError(
            f"model.size={size} leaves no place on the last feature map of ssd_resnet34: "
            f"it must be at least {SMALLEST}."
        )
    maps = [_backbone(b, width, size, depth)]
    for number, (inner, outputs, stride, pad) in enumerate(EXTRAS, 1):
        shape = scaled(inner, width), scaled(outputs, width)
        maps.append(_extra(b, maps[-1], f"extras.{number}", *shape, stride, pad))
    levels = [
        Level(x, channels, -(-side // HEAD_STRIDE), default_sizes(number), 3, HEAD_STRIDE)
        for number, (x, channels, side) in enumerate(maps)
    ]
    return b, Detector(tuple(levels), CATEGORIES, "Softmax", score_threshold=0.05, overlap=0.5)


def default_sizes(number: int) -> tuple[tuple[float, float], ...]:
    """Height and width of the default boxes on a level: two squares, then by their ratios."""
    side, following = (pixels / SIZE for pixels in SIDES[number : number + 2])
    between = math.sqrt(side * following)
    shapes = [(side, side), (between, between)]
    for ratio in RATIOS[number]:
        longer, shorter = side * math.sqrt(ratio), side / math.sqrt(ratio)
        shapes += [(shorter, longer), (longer, shorter)]
    return tuple(shapes)


def _backbone(b: Builder, width: float, size: int, depth: float) -> tuple[str, int, int]:
    """ResNet-34 as far as its third stage, which keeps the side: an eighth of the image's."""
    channels = scaled(64, width)
    x = b.conv("input", "conv1", (channels, 3, 7), 2, (3, 3, 3, 3))
    x = b.relu(b.batch_norm(x, "bn1", channels, shift=SHIFT))
    x = b.max_pool(x, "maxpool", kernel=3, stride=2, pad=1)
    for stage, (wide, blocks, stride) in enumerate(STAGES, 1):
        outputs = scaled(wide, width)
        for block in range(repeated(blocks, depth)):
            name = f"layer{stage}.{block}"
            x = _basic(b, x, name, channels, outputs, stride if block == 0 else 1)
            channels = outputs
    return x, channels, _side(_side(_side(size, 2), 2), 2)


def _basic(b: Builder, x: str, name: str, inputs: int, outputs: int, stride: int) -> str:
    y = b.conv(x, f"{name}.conv1", (outputs, inputs, 3), stride, (1, 1, 1, 1))
    y = b.relu(b.batch_norm(y, f"{name}.bn1", outputs))
    y = b.conv(y, f"{name}.conv2", (outputs, outputs, 3), 1, (1, 1, 1, 1))
    y = b.batch_norm(y, f"{name}.bn2", outputs, scale=BRANCH_SCALE)
    if inputs != outputs or stride != 1:  # of narrow versions two stages can be as wide
        x = b.conv(x, f"{name}.downsample.0", (outputs, inputs, 1), stride, carry=SHORTCUT_NOISE)
        x = b.batch_norm(x, f"{name}.downsample.1", outputs, shift=SHIFT)
    return b.relu(b.add(x, y, f"{name}.add"))


def _extra(
    b: Builder,
    source: tuple[str, int, int],
    name: str,
    inner: int,
    outputs: int,
    stride: int,
    pad: int,
) -> tuple[str, int, int]:
    x, channels, side = source
    x = b.relu(b.conv(x, f"{name}.0", (inner, channels, 1), bias=0.0))
    x = b.relu(b.conv(x, f"{name}.1", (outputs, inner, 3), stride, (pad,) * 4, bias=0.0))
    return x, outputs, _side(side - 2 + 2 * pad, stride)


def _side(side: int, stride: int) -> int:
    """The side after a stride, where the kernel reaches one place beyond each edge."""
    return -(-side // stride)
