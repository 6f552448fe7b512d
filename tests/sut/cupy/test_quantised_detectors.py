"""The reference detectors in 8 bits: what the device is given makes the heads that they have."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from engine.models import ssd_mobilenet_v1, ssd_resnet34, weights
from sut.cupy.arena import arena_of, bytes_of
from sut.cupy.convolution import Problem
from sut.cupy.files import read
from sut.cupy.launch import Card
from sut.cupy.layers import Halved, shapes_of, with_halves
from sut.cupy.rivals import KERNELS
from sut.cupy.steps import number_of, problem_of, steps_of, stored_as

from . import plain

MADE = {
    "mobilenet": lambda: ssd_mobilenet_v1.network("mobilenet", 0.5, 128),
    "resnet": lambda: ssd_resnet34.network("resnet", 0.25, 448, 0.4),
}
SIDES = {"mobilenet": 128, "resnet": 448}


@pytest.fixture(scope="module", params=MADE)
def detector(request, tmp_path_factory):
    """A narrow detector with the ranges of its values for an image, these values, and the image."""
    made, draw = MADE[request.param](), np.random.default_rng(0)
    values = weights.seeded(made, 0)
    for name in values:
        if name.startswith("heads."):
            values[name] = 0.05 * draw.standard_normal(values[name].shape).astype(np.float32)
    path = tmp_path_factory.mktemp("detectors") / f"{request.param}.onnx"
    onnx.save(made.model(values), str(path))
    whole, side = read(path, "detections"), SIDES[request.param]
    image = draw.standard_normal((1, 3, side, side)).astype(np.float32)
    tensors = plain.outputs(whole, image)
    last = whole.detections
    ranges = {
        x.name: (min(0.0, float(tensors[x.name].min())), float(tensors[x.name].max()))
        for x in whole.layers
        if x is not last and not whole.is_head(x.name)
    }
    if "maxpool" in ranges:
        ranges["maxpool"] = ranges["bn1.relu"]
    layers = with_halves(whole.layers, last.sources, ranges)
    shapes = shapes_of(whole.input, whole.image, layers)
    return replace(whole, layers=layers, ranges=ranges, shapes=shapes), tensors, image


def test_heads_come_back_as_what_they_stand_for(detector):
    network, values, image = detector
    made = plain.stored_outputs(network, image)
    for name in network.detections.sources:
        apart = np.linalg.norm(made[name] - values[name])
        assert apart < 0.05 * np.linalg.norm(values[name]), name


def test_heads_alone_are_computed_in_half_precision(detector):
    network, _, _ = detector
    heads = network.detections.sources
    halved = [x for x in network.layers if isinstance(x, Halved)]
    assert len(halved) == len(heads) / 2
    for step in steps_of(network):
        if step.kind == "convolution":
            problem = problem_of(step, network, 2)
            kinds = (problem.dtype, problem.out, "scale" in step.arrays)
            head = step.layer.name in heads
            assert kinds == (("fp16", "fp32", False) if head else ("int8", "int8", True))
            assert step.arrays["w"].dtype == (np.float16 if head else np.int8)
            assert (step.low is None) == head


def test_halves_hold_every_number_of_8_bits_as_it_is(detector):
    network, _, _ = detector
    for layer in network.layers:
        if isinstance(layer, Halved):
            source, own = stored_as(network, layer.source), stored_as(network, layer.name)
            exact = (np.arange(-128, 128) - source.zero) * (own.factor / source.factor)
            assert np.array_equal(exact, exact.astype(np.float16))
            assert 0.7 < own.factor < 1.5
            assert own.zero == 0  # beyond the edges of what a head reads


def test_halves_have_room_until_both_heads_have_read_them(detector):
    network, _, _ = detector
    arena, sizes = arena_of(network), bytes_of(network)
    holds = {}
    for layer in network.layers:
        for source in getattr(layer, "sources", (layer.source, getattr(layer, "residual", None))):
            if source not in (None, network.input):
                assert holds[arena.slot_of[source]] == source
        holds[arena.slot_of[layer.name]] = layer.name
        if isinstance(layer, Halved):
            assert sizes[layer.name] == 2 * sizes[layer.source]


def test_a_head_of_a_tensor_without_a_range_is_named(detector):
    network, _, _ = detector
    copy = next(x for x in network.layers if isinstance(x, Halved))
    ranges = {name: own for name, own in network.ranges.items() if name != copy.source}
    broken = replace(network, ranges=ranges)
    with pytest.raises(RuntimeError, match=rf"tensor {copy.source} is not, which layer.*again"):
        number_of(broken, copy.source)


@pytest.mark.parametrize(("dtype", "out"), [("int8", "fp32"), ("fp16", "fp32"), ("int8", "fp16")])
@pytest.mark.parametrize("kernel", [1, 3])
def test_no_kernel_of_ours_makes_other_numbers_than_it_reads(dtype, out, kernel):
    card, inputs = Card(132, 228 << 10, 227 << 10), {"int8": 64, "fp16": 32}[dtype]
    shape = (1, inputs, 8, 8), (64, kernel, kernel), 1, (kernel // 2,) * 4

    def found(out):
        problem = Problem(*shape, dtype, out, False, None, None)
        return [own(problem, card) for own in KERNELS.values()]

    assert any(found(dtype))
    assert not any(found(out))
