"""ResNet-50: the bottleneck network of He et al. (arXiv:1512.03385), v1.5 with the stride in the
3x3 convolution, v1 with it in the first 1x1, as published. Tensors carry torchvision's names, so
that its checkpoints load."""

from __future__ import annotations

from engine.models.classifier import classify
from engine.models.graph import Builder, Network, repeated, scaled

SIZE = 224
CLASSES = 1000
"""No background class: label = class index."""

EPSILON = 1e-5
BRANCH_SCALE, SHORTCUT_NOISE, SHIFT = 0.1, 0.05, 1.0
"""What the seeded weights start from: quiet branches beside shortcuts near the identity."""

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""(inner channels, blocks, stride of the first block); a block puts out four times as many."""


def network(
    name: str, width: float = 1.0, size: int = SIZE, depth: float = 1.0, v1: bool = False
) -> Network:
    """A 7x7 convolution, max pooling, sixteen bottleneck blocks, and the classifier."""
    b = Builder(epsilon=EPSILON)
    channels = scaled(64, width)
    x = b.conv("input", "conv1", (channels, 3, 7), 2, (3, 3, 3, 3))
    x = b.relu(b.batch_norm(x, "bn1", channels, shift=SHIFT))
    x = b.max_pool(x, "maxpool", kernel=3, stride=2, pad=1)
    for stage, (wide, blocks, stride) in enumerate(STAGES, 1):
        inner = scaled(wide, width)
        for block in range(repeated(blocks, depth)):
            layer = f"layer{stage}.{block}"
            strides = (1, 1) if block else (stride, 1) if v1 else (1, stride)
            x = _bottleneck(b, x, layer, channels, inner, strides)
            channels = 4 * inner
    return classify(b, x, name, channels, CLASSES, size)


def _bottleneck(
    b: Builder, x: str, name: str, inputs: int, inner: int, strides: tuple[int, int]
) -> str:
    outputs = 4 * inner
    y = b.conv(x, f"{name}.conv1", (inner, inputs, 1), strides[0])
    y = b.relu(b.batch_norm(y, f"{name}.bn1", inner))
    y = b.conv(y, f"{name}.conv2", (inner, inner, 3), strides[1], (1, 1, 1, 1))
    y = b.relu(b.batch_norm(y, f"{name}.bn2", inner))
    y = b.batch_norm(
        b.conv(y, f"{name}.conv3", (outputs, inner, 1)), f"{name}.bn3", outputs, scale=BRANCH_SCALE
    )
    stride = max(strides)
    if inputs != outputs or stride != 1:  # of narrow versions two stages can be as wide
        x = b.conv(x, f"{name}.downsample.0", (outputs, inputs, 1), stride, carry=SHORTCUT_NOISE)
        x = b.batch_norm(x, f"{name}.downsample.1", outputs, shift=SHIFT)
    return b.relu(b.add(x, y, f"{name}.add"))
