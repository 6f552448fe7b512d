"""MobileNet-v1 1.0 224 (Howard et al., arXiv:1704.04861, Table 1), as TensorFlow pads it."""

from __future__ import annotations

from engine.models.graph import Builder, Network

CLASSES = 1001
"""Class 0 is background, as in the suite's own network: label = class index - 1."""

DEPTHWISE_NOISE, POINTWISE_NOISE, SHIFT = 0.2, 0.02, 1.0
"""What the seeded weights start from: near the identity, most activations past the kink."""

BLOCKS = (
    # (output channels, stride) of each depthwise-separable block
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def network() -> Network:
    """A 3x3 convolution, thirteen depthwise-separable blocks, and the classifier."""
    b = Builder(epsilon=1e-3)
    x = b.conv("input", "conv", (32, 3, 3), 2, _same(2))
    x = b.relu6(b.batch_norm(x, "bn", 32, shift=SHIFT))
    channels = 32
    for number, (outputs, stride) in enumerate(BLOCKS, 1):
        x = _separable(b, x, f"blocks.{number}", channels, outputs, stride)
        channels = outputs
    return b.classify(x, "mobilenet_v1", channels, CLASSES)


def _separable(b: Builder, x: str, name: str, inputs: int, outputs: int, stride: int) -> str:
    shape, pads = (inputs, inputs, 3), _same(stride)
    x = b.conv(x, f"{name}.depthwise", shape, stride, pads, group=inputs, carry=DEPTHWISE_NOISE)
    x = b.relu6(b.batch_norm(x, f"{name}.depthwise_bn", inputs, shift=SHIFT))
    x = b.conv(x, f"{name}.pointwise", (outputs, inputs, 1), carry=POINTWISE_NOISE)
    return b.relu6(b.batch_norm(x, f"{name}.pointwise_bn", outputs, shift=SHIFT))


def _same(stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's SAME for a 3x3 kernel on an even side: stride 2 pads only below and right."""
    return (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
