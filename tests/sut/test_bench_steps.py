"""What the bench says of a network's steps."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from engine.models import ssd_mobilenet_v1, weights
from sut.bench import profile
from sut.bench.profile import Timed
from sut.cupy.arena import bytes_of
from sut.cupy.executor import Executor
from sut.cupy.files import read
from sut.cupy.images import image_bytes
from sut.cupy.steps import steps_of


@pytest.mark.parametrize("label", [{"network": "net"}, {"network": "net", "batch": 4}])
def test_steps_of_a_kind_and_shape_are_one_line_and_all_are_the_last(label, monkeypatch):
    executor = object.__new__(Executor)
    executor._resident = None
    sut = SimpleNamespace(_executors=[executor], _sources={0: None})
    found = [
        Timed("convolution", "a", "(8, 4) -> (8, 4)", 1.0, 2_000_000_000, 3_000_000_000),
        Timed("max_pool", "b", "(8, 4) -> (8, 2)", 3.0, 3_000_000_000, 0),
        Timed("convolution", "c", "(8, 4) -> (8, 4)", 1.0, 2_000_000_000, 1_000_000_000),
    ]
    monkeypatch.setattr(profile, "steps", lambda *given: found)
    lines = []
    profile.show(sut, 4, label, lambda **figures: lines.append(figures))
    assert [x.get("step") for x in lines] == ["max_pool", "convolution", None]
    assert lines[1] == {
        **label,
        "step": "convolution",
        "shape": "(8,4)->(8,4)",
        "count": 2,
        "ms": 2.0,
        "share": 0.4,
        "tb_s": 2.0,
        "tflop_s": 2.0,
    }
    assert lines[2] == {**label, "batch": 4, "steps": 3, "ms": 5.0, "gb": 7.0, "tflop": 0.004}


def test_a_step_must_read_all_its_tensors_once_and_its_weights(tmp_path, monkeypatch):
    made = ssd_mobilenet_v1.network("detector", 0.5, 128)
    onnx.save(made.model(weights.seeded(made, 0)), str(tmp_path / "detector.onnx"))
    network = read(tmp_path / "detector.onnx", "detections")
    own = steps_of(network)
    resident = SimpleNamespace(
        network=network, cp=None, steps=own, arrays=[dict(x.arrays) for x in own]
    )
    monkeypatch.setattr(profile, "_timed", lambda *given: 1.0)
    found = profile.steps(resident, SimpleNamespace(stream=MagicMock()), 3, None)
    sizes, last = bytes_of(network), network.detections
    first, *_, ending = found
    stem = sum(array.nbytes for array in own[0].arrays.values())
    assert first.least_bytes == 3 * (image_bytes(network) + sizes[first.name]) + stem
    heads = sum(sizes[name] for name in last.sources)
    constants = last.anchors.nbytes + last.categories.nbytes
    assert ending.least_bytes == 3 * (heads + sizes[last.name]) + constants
    shape = network.shapes[first.name]
    assert first.operations == 2 * 3 * 27 * int(np.prod(shape))
