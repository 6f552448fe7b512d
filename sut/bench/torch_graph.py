"""The same network in PyTorch: channels-last half precision, as a CUDA graph or compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sut.cupy.detector import ending


def network(path: Path) -> Any:
    """A torch module that computes what the ONNX file does, node by node, from its input on.

    A detector's ends with its heads, whose answers it gives; a classifier's gives the classes.
    """
    import onnx
    import torch
    from onnx import helper, numpy_helper
    from torch import nn

    graph = onnx.load(str(path)).graph
    detector = ending(graph)
    after = detector[1] if detector else frozenset()
    nodes = [n for n in graph.node if n.op_type != "Constant" and not after.intersection(n.output)]
    wanted = detector[0].sources if detector else (nodes[-1].output[0],)
    constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}

    feeds = {graph.input[0].name, *(name for node in nodes for name in node.output)}

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[tuple[str, str, list[str], str]] = []
            for number, node in enumerate(nodes):
                has = {x.name: helper.get_attribute_value(x) for x in node.attribute}
                own = [
                    torch.from_numpy(np.array(constants[x])) for x in node.input if x in constants
                ]
                pads = has.get("pads", [0] * 4)
                even = pads[0] == pads[2]
                module: nn.Module = nn.Identity()
                match node.op_type:
                    case "Conv":
                        size = own[0].shape
                        groups = has.get("group", 1)
                        module = nn.Conv2d(
                            size[1] * groups,
                            size[0],
                            size[2],
                            has["strides"][0],
                            pads[0] if even else 0,
                            groups=groups,
                            bias=len(own) > 1,
                        )
                        module.weight.data = own[0]
                        if not even:
                            around = nn.ZeroPad2d((pads[1], pads[3], pads[0], pads[2]))
                            module = nn.Sequential(around, module)
                    case "BatchNormalization":
                        module = nn.BatchNorm2d(len(own[0]), has["epsilon"])
                        module.weight.data, module.bias.data = own[:2]
                        module.running_mean, module.running_var = own[2:]
                    case "Relu":
                        module = nn.ReLU(inplace=True)
                    case "Clip":
                        module = nn.ReLU6(inplace=True)
                    case "MaxPool":
                        module = nn.MaxPool2d(has["kernel_shape"][0], has["strides"][0], pads[0])
                    case "GlobalAveragePool":
                        module = nn.AdaptiveAvgPool2d(1)
                    case "Flatten":
                        module = nn.Flatten()
                    case "Gemm":
                        module = nn.Linear(own[0].shape[1], own[0].shape[0])
                        module.weight.data, module.bias.data = own
                self.add_module(f"m{number}", module)
                sources = [x for x in node.input if x in feeds]
                self.steps.append((node.op_type, f"m{number}", sources, node.output[0]))

        def forward(self, x: Any) -> Any:
            made = {graph.input[0].name: x}
            for op, module, sources, name in self.steps:
                if op == "Add":
                    made[name] = made[sources[0]] + made[sources[1]]
                elif op == "ArgMax":
                    made[name] = made[sources[0]].argmax(1)
                else:
                    made[name] = getattr(self, module)(made[sources[0]])
            return [made[name] for name in wanted]

    torch.backends.cudnn.benchmark = True
    return Network().eval().half().cuda().to(memory_format=torch.channels_last)


def images_per_s(module: Any, batch: int, side: int, seconds: float = 1.0) -> float:
    """Images per second of a CUDA graph of one batch, replayed back to back."""
    import torch

    x = torch.randn(batch, 3, side, side, device="cuda", dtype=torch.half)
    x = x.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                module(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            module(x)
    return rate(graph.replay, torch.cuda.synchronize, batch, seconds)


def rate(
    run: Callable[[], Any], wait: Callable[[], Any], batch: int, seconds: float = 1.0
) -> float:
    """Images per second of ``run``, repeated for about so long after a warm-up; the best third."""
    for _ in range(3):
        run()
    wait()
    began = time.perf_counter()
    run()
    wait()
    count = max(3, int(seconds / 3 / (time.perf_counter() - began)))
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(count):
            run()
        wait()
        best = max(best, count * batch / (time.perf_counter() - began))
    return best
