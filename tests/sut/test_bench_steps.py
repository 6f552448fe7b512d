"""What the bench says of a network's steps."""

from types import SimpleNamespace

import pytest

from sut.bench import profile
from sut.bench.profile import Timed
from sut.cupy.executor import Executor


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
