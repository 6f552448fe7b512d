"""The end of an image classifier: average, fully connected layer and the best class."""

from __future__ import annotations

from onnx import TensorProto, helper

from engine.models.graph import Builder, Network, image_input


def classify(b: Builder, x: str, name: str, channels: int, classes: int, size: int) -> Network:
    """Global average, fully connected layer ``fc`` and arg max: the network is complete.

    Outputs ``logits`` float32 [n, classes] and ``classes`` int64 [n], the index of the largest.
    """
    features = b.node("Flatten", "features", [b.node("GlobalAveragePool", "pool", [x])], axis=1)
    b.shapes |= {"fc.weight": (classes, channels), "fc.bias": (classes,)}
    b.filled["fc.bias"] = 0.0
    inputs = [features, "fc.weight", "fc.bias"]
    b.nodes.append(helper.make_node("Gemm", inputs, ["logits"], "fc", transB=1))
    best = helper.make_node("ArgMax", ["logits"], ["classes"], "argmax", axis=1, keepdims=0)
    b.nodes.append(best)
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["batch"]),
    ]
    return b.network(name, [image_input(size)], outputs, "classes", [features])
