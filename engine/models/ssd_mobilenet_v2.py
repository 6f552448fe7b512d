"""SSD-MobileNet-v2 300x300 as TensorFlow's detection models have it: inverted residuals (Sandler et
al., arXiv:1801.04381, Table 2), 3x3 heads, and v1's default boxes and suppression."""

from __future__ import annotations

from engine.models import ssd_mobilenet_v1
from engine.models.graph import Builder, Network, repeated, same, scaled
from engine.models.ssd import Detector, Level, detect

SIZE = ssd_mobilenet_v1.SIZE
EPSILON = 1e-3
EXPANSION = 6
"""How many times its inputs' channels a block computes on; the first one's as many."""

STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""(output channels, blocks, stride of the first block)."""

SEEN = 160
"""Channels of the block whose expanded input, before its stride, is the first feature map."""

LAST = 1280


def network(name: str, width: float = 1.0, size: int = SIZE, depth: float = 1.0) -> Network:
    """Backbone, four further feature maps, and the detector."""
    return detect(*detector(width, size, depth), name, size)


def detector(width: float, size: int, depth: float = 1.0) -> tuple[Builder, Detector]:
    """All that comes before the heads, and the feature maps with what to do with them."""
    b = Builder(epsilon=EPSILON)
    maps = _backbone(b, width, size, depth)
    for number, (inner, outputs) in enumerate(ssd_mobilenet_v1.EXTRAS, 1):
        inner, outputs = scaled(inner, width), scaled(outputs, width)
        maps.append(_halved(b, maps[-1], f"extras.{number}", inner, outputs))
    levels = [
        Level(x, channels, side, ssd_mobilenet_v1.default_sizes(number), kernel=3)
        for number, (x, channels, side) in enumerate(maps)
    ]
    return b, ssd_mobilenet_v1.suppressed(levels)


def _backbone(b: Builder, width: float, size: int, depth: float) -> list[tuple[str, int, int]]:
    """Its two feature maps: output, channels and side."""
    pads, side = same(size, 2)
    channels = scaled(32, width)
    x = _activated(b, b.conv("input", "conv", (channels, 3, 3), 2, pads), "conv_bn", channels)
    maps = []
    strides = [
        (c, s if n == 0 else 1) for c, count, s in STAGES for n in range(repeated(count, depth))
    ]
    for number, (wide, stride) in enumerate(strides):
        name, inner = f"blocks.{number}", channels * (EXPANSION if number else 1)
        y = x
        if number:
            y = b.conv(x, f"{name}.expand", (inner, channels, 1))
            y = _activated(b, y, f"{name}.expand_bn", inner)
        if (wide, stride) == (SEEN, 2):
            maps.append((y, inner, side))
        y, side = _depthwise(b, y, f"{name}.depthwise", inner, side, stride)
        outputs = scaled(wide, width)
        y = b.conv(y, f"{name}.project", (outputs, inner, 1))
        y = b.batch_norm(y, f"{name}.project_bn", outputs)
        x = b.add(y, x, f"{name}.sum") if stride == 1 and channels == outputs else y
        channels = outputs
    last = scaled(LAST, width)
    x = _activated(b, b.conv(x, "conv_1", (last, channels, 1)), "conv_1_bn", last)
    return [*maps, (x, last, side)]


def _halved(
    b: Builder, source: tuple[str, int, int], name: str, inner: int, outputs: int
) -> tuple[str, int, int]:
    x, channels, side = source
    x = _activated(b, b.conv(x, f"{name}.0", (inner, channels, 1)), f"{name}.0_bn", inner)
    x, side = _depthwise(b, x, f"{name}.depthwise", inner, side, 2)
    x = _activated(b, b.conv(x, f"{name}.1", (outputs, inner, 1)), f"{name}.1_bn", outputs)
    return x, outputs, side


def _depthwise(
    b: Builder, x: str, name: str, channels: int, side: int, stride: int
) -> tuple[str, int]:
    pads, side = same(side, stride)
    x = b.conv(x, name, (channels, channels, 3), stride, pads, group=channels)
    return _activated(b, x, f"{name}_bn", channels), side


def _activated(b: Builder, x: str, norm: str, channels: int) -> str:
    return b.relu6(b.batch_norm(x, norm, channels))
