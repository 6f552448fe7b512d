"""MobileNet-v1 1.0 224 (Howard et al., arXiv:1704.04861, Table 1), as TensorFlow pads it."""

from __future__ import annotations

from engine.models.classifier import classify
from engine.models.graph import Builder, Network, repeated, same, scaled

SIZE = 224
CLASSES = 1001
"""Class 0 is background, as in the suite's own network: label = class index - 1."""

EPSILON = 1e-3
DEPTHWISE_NOISE, POINTWISE_NOISE, SHIFT = 0.2, 0.02, 1.0
"""What the seeded weights start from: near the identity, most activations past the kink."""

BLOCKS = (
    # (output channels, stride, how many of them) of the depthwise-separable blocks
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 2, 1),
    (512, 1, 5),
    (1024, 2, 1),
    (1024, 1, 1),
)


def network(name: str, width: float = 1.0, size: int = SIZE, depth: float = 1.0) -> Network:
    """A 3x3 convolution, thirteen depthwise-separable blocks, and the classifier."""
    b = Builder(epsilon=EPSILON)
    (*_, (x, channels, _)) = backbone(b, width, size, depth)
    return classify(b, x, name, channels, CLASSES, size)


def backbone(b: Builder, width: float, size: int, depth: float = 1.0) -> list[tuple[str, int, int]]:
    """The network without its classifier: each block's output, its channels and its side."""
    pads, side = same(size, 2)
    channels = scaled(32, width)
    x = b.conv("input", "conv", (channels, 3, 3), 2, pads)
    x = b.relu6(b.batch_norm(x, "bn", channels, shift=SHIFT))
    outputs = []
    blocks = [x[:2] for x in BLOCKS for _ in range(repeated(x[2], depth))]
    for number, (wide, stride) in enumerate(blocks, 1):
        pads, side = same(side, stride)
        x = _separable(b, x, f"blocks.{number}", channels, scaled(wide, width), stride, pads)
        channels = scaled(wide, width)
        outputs.append((x, channels, side))
    return outputs


def _separable(
    b: Builder,
    x: str,
    name: str,
    inputs: int,
    outputs: int,
    stride: int,
    pads: tuple[int, int, int, int],
) -> str:
    shape = (inputs, inputs, 3)
    x = b.conv(x, f"{name}.depthwise", shape, stride, pads, group=inputs, carry=DEPTHWISE_NOISE)
    x = b.relu6(b.batch_norm(x, f"{name}.depthwise_bn", inputs, shift=SHIFT))
    x = b.conv(x, f"{name}.pointwise", (outputs, inputs, 1), carry=POINTWISE_NOISE)
    return b.relu6(b.batch_norm(x, f"{name}.pointwise_bn", outputs, shift=SHIFT))
