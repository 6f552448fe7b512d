"""The arrays that the device gets, and the memory that it needs for them."""

from dataclasses import replace

import numpy as np
import pytest

from sut.cupy.arena import arena_of, bytes_of
from sut.cupy.executor import tuned_sizes
from sut.cupy.files import read
from sut.cupy.images import stored
from sut.cupy.steps import number_of, problem_of, steps_of, stored_as, stored_image
from sut.device import batch_sizes
from sut.memory import check

from . import plain


@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
def test_a_stored_image_times_the_stems_filters_is_the_first_convolution(name, networks, images):
    network = read(networks[name], "classes")
    first, step = network.layers[0], steps_of(network)[0]
    outputs, _, kernel, _ = first.weights.shape
    expected = plain.convolution(images[:1], first)[0]
    image = stored(np, network, images[:1])[0].astype(np.float32)
    assert image.shape[:2] == stored_image(network)
    filters = step.arrays["filters"][:, :-8].astype(np.float32).reshape(outputs, kernel, -1)
    columns = [
        q * (outputs // 4) + 2 * j + e
        for j in range(outputs // 8)
        for q in range(4)
        for e in (0, 1)
    ]
    wide = filters.shape[2] // 4
    for y, x in ((0, 0), (5, 7), (expected.shape[1] - 1, expected.shape[2] - 1)):
        window = image[2 * y : 2 * y + kernel, 2 * x : 2 * x + wide]
        made = np.empty(outputs, np.float32)
        made[columns] = filters.reshape(outputs, -1) @ window.ravel()
        assert np.allclose(made, expected[:, y, x], atol=2e-2)


@pytest.mark.parametrize(
    ("name", "layer", "error"),
    [
        ("resnet", "layer1.0.bn1.relu", 0.015),  # read beyond its edges: 7 of 8 bits
        ("resnet", "layer1.0.bn2.relu", 0.009),
        ("resnet", "layer1.0.downsample.1", 0.01),  # negative values, too
        ("resnet", "layer1.0.add.relu", 0.009),
        ("mobilenet", "blocks.1.depthwise_bn.relu6", 0.007),
        ("mobilenet", "blocks.1.pointwise_bn.relu6", 0.007),
    ],
)
def test_eight_bits_come_back_as_what_they_stand_for(quantised, name, layer, error):
    network, values = quantised(name)
    step = next(s for s in steps_of(network) if s.layer.name == layer)

    def numbers(tensor):
        own = stored_as(network, tensor)
        return np.clip(np.rint(values[tensor] * own.factor) + own.zero, -128, 127)

    y = np.rint(np.clip(plain.accumulated(step, numbers), step.low, step.high))
    own = stored_as(network, layer)
    found, wanted = (y - own.zero) / own.factor, values[layer]
    assert np.linalg.norm(found - wanted) < error * np.linalg.norm(wanted)
    assert len(np.unique(y)) > (100 if error > 0.01 else 200)
    assert problem_of(step, network, 4).dtype == "int8"


def test_a_pool_and_what_it_reads_are_stored_alike(quantised):
    network, _ = quantised("resnet")
    assert stored_as(network, "maxpool") == stored_as(network, "bn1.relu")
    assert stored_as(network, "maxpool").zero == -128
    first = next(x for x in network.layers if x.source == "maxpool")
    padded = replace(first, pads=(1, 1, 1, 1))
    layers = tuple(padded if x is first else x for x in network.layers)
    network = replace(network, layers=layers)
    assert stored_as(network, "maxpool") == stored_as(network, "bn1.relu")
    assert stored_as(network, "maxpool").zero == 0


def test_what_only_an_average_reads_may_stay_in_half_precision(networks):
    whole = read(networks["resnet"], "classes")
    ranges = {x.name: (0.0, 1.0) for x in whole.layers[:-3]}
    network = replace(whole, ranges=ranges)
    last = whole.layers[-3].name
    assert number_of(network, last) == "fp16"
    del ranges["layer1.0.add.relu"]
    with pytest.raises(RuntimeError, match=r"tensor layer1\.0\.add\.relu is not"):
        number_of(replace(whole, ranges=ranges), "layer1.0.add.relu")


@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
def test_no_tensor_is_written_over_while_it_is_needed(name, networks):
    network = read(networks[name], "classes")
    arena, sizes = arena_of(network), bytes_of(network)
    holds = {}
    for layer in network.layers:
        for source in filter(None, (layer.source, getattr(layer, "residual", None))):
            if source != network.input:
                assert holds[arena.slot_of[source]] == source
        slot = arena.slot_of[layer.name]
        assert slot != arena.slot_of.get(layer.source)
        assert sizes[layer.name] <= arena.sizes[slot]
        holds[slot] = layer.name
    assert holds[arena.slot_of[network.response]] == network.response
    assert arena.bytes(1) < sum(sizes.values()) / 3


def test_what_does_not_fit_is_refused_with_the_sizes():
    parts = {"weights": 1 << 30, "5 samples": 2 << 30}
    check(0, 4 << 30, parts)
    with pytest.raises(
        RuntimeError, match=r"Device 3 has 3\.00 GiB free.*needs 3\.00 GiB.*5 samples 2"
    ):
        check(3, 3 << 30, parts)


def test_graphs_are_close_where_batches_are_large():
    assert batch_sizes(1) == (1,)
    assert batch_sizes(8) == (1, 8)
    assert batch_sizes(12) == (1, 8, 12)
    assert batch_sizes(256) == (1, 8, 16, 32, 64, 96, 128, 192, 256)
    assert tuned_sizes(batch_sizes(200)) == [1, 8, 64, 200]
