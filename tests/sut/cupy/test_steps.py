"""The arrays that the device gets, and the memory that it needs for them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sut.cupy import plans
from sut.cupy.arena import arena_of, bytes_of
from sut.cupy.convolution import Problem
from sut.cupy.executor import tuned_sizes
from sut.cupy.files import read
from sut.cupy.images import stored
from sut.cupy.plans import PlanBook
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

    y = np.rint(np.clip(_on_the_device(step, numbers), step.low, step.high))
    own = stored_as(network, layer)
    found, wanted = (y - own.zero) / own.factor, values[layer]
    assert np.linalg.norm(found - wanted) < error * np.linalg.norm(wanted)
    assert len(np.unique(y)) > (100 if error > 0.01 else 200)
    assert problem_of(step, network, 4).dtype == "int8"


def _on_the_device(step, numbers):
    """What the device computes from stored ``numbers``, before it clips and rounds."""
    layer, arrays = step.layer, step.arrays
    column = (slice(None), None, None)
    if step.kind == "depthwise":  # beyond the edges lies what stands for 0
        weights = arrays["filters"].transpose(2, 0, 1)[:, None]
        views = plain.windows(numbers(layer.source), 3, layer, step.source.zero)
        sums = np.einsum("nchwij,cij->nchw", views, weights[:, 0], optimize=True)
        return sums + arrays["bias"][column]
    weights = arrays["w"].transpose(0, 3, 1, 2).astype(np.float32)  # cuDNN: 0 beyond the edges
    sums = plain.convolution(numbers(layer.source), replace(layer, weights=weights))
    y = sums * arrays["scale"][column] + arrays["bias"][column]
    if layer.residual:
        y += numbers(layer.residual) * arrays["residual_scale"][column]
    return y


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


def test_plans_are_kept_from_run_to_run(tmp_path):
    path = tmp_path / "deep" / "plans.json"
    book = PlanBook(path)
    book.put("a problem", "eng4")
    book.save()
    assert PlanBook(path).get("a problem") == "eng4"
    path.write_text("{broken")
    assert PlanBook(path).get("a problem") is None


def test_graphs_are_close_where_batches_are_large():
    assert batch_sizes(1) == (1,)
    assert batch_sizes(8) == (1, 8)
    assert batch_sizes(12) == (1, 8, 12)
    assert batch_sizes(256) == (1, 8, 16, 32, 64, 96, 128, 192, 256)
    assert tuned_sizes(batch_sizes(200)) == [1, 8, 64, 200]


class _Rivals:
    """A cuDNN that offers the plans "a" to "h", of which "a" cannot be built, beside a kernel of
    our own for problems of one pixel; ``fastest`` is."""

    def __init__(self, monkeypatch):
        self.timed, self.graphs, self.fastest = [], 0, "d"
        monkeypatch.setattr(plans, "Graph", self._graph)
        monkeypatch.setattr(plans, "_pretended", lambda cp, problem: {})
        monkeypatch.setattr(plans, "_timed", self._timed)
        runtime = SimpleNamespace(getDeviceProperties=lambda device: {"name": b"Card"})
        device = lambda: SimpleNamespace(id=0)  # noqa: E731
        empty = lambda count, dtype: SimpleNamespace(data=SimpleNamespace(ptr=0))  # noqa: E731
        self.cp = SimpleNamespace(
            cuda=SimpleNamespace(runtime=runtime, Device=device), empty=empty, uint8=None
        )
        self.own = SimpleNamespace(
            version="1", plans=lambda p: [_Plan("own")] if p.filters[1:] == (1, 1) else []
        )

    def _graph(self, cudnn, handle, problem):
        self.graphs += 1
        return SimpleNamespace(plans=lambda: [_Plan(name) for name in "abcdefgh"])

    def _timed(self, cp, stream, run):
        name = run.func.__self__.name
        self.timed.append(name)
        return 1.0 if name == self.fastest else 2.0

    def choose(self, book, problem, like=None):
        self.timed.clear()
        cudnn = SimpleNamespace(backend_version=lambda: 9)
        return plans.Tuner(self.cp, cudnn, None, None, book, self.own).choose(problem, like).name


class _Plan:
    def __init__(self, name):
        self.name, self.workspace = name, 0

    def build(self):
        if self.name == "a":
            raise RuntimeError("not on this device")

    def run(self, pointers, workspace, handle):
        pass


def test_a_plan_is_tuned_once_and_sizes_between_take_after_it(monkeypatch):
    rivals, book = _Rivals(monkeypatch), plans.PlanBook(None)
    full, between = _problem(64, 3), _problem(48, 3)
    assert rivals.choose(book, full) == "d"
    assert rivals.timed == ["b", "c", "d", "e", "f"]  # the likeliest six, less the one that fails
    assert rivals.choose(book, full) == "d"
    assert rivals.timed == []
    assert rivals.choose(book, between, like=full) == "d"
    assert rivals.timed == []
    assert rivals.choose(book, _problem(40, 3), like=_problem(128, 3)) == "d"
    assert rivals.timed == ["b", "c", "d", "e", "f"]


def test_our_kernel_is_timed_beside_cudnns_and_needs_no_graph_once_it_is_chosen(monkeypatch):
    rivals, book = _Rivals(monkeypatch), plans.PlanBook(None)
    rivals.fastest = "own"
    assert rivals.choose(book, _problem(64)) == "own"
    assert rivals.timed == ["own", "b", "c", "d", "e", "f"]
    assert rivals.choose(book, _problem(64)) == "own"
    assert (rivals.timed, rivals.graphs) == ([], 1)


def test_a_plan_that_was_chosen_beside_other_kernels_is_chosen_anew(monkeypatch):
    rivals, book = _Rivals(monkeypatch), plans.PlanBook(None)
    assert rivals.choose(book, _problem(64)) == rivals.choose(book, _problem(64, 3)) == "d"
    rivals.own.version, rivals.fastest = "2", "own"
    assert rivals.choose(book, _problem(64)) == "own"
    assert rivals.choose(book, _problem(64, 3)) == "d"
    assert rivals.timed == []


def test_where_cudnn_has_no_graph_our_kernel_is_enough(monkeypatch):
    def none(cudnn, handle, problem):
        raise ValueError("not supported")

    rivals, book = _Rivals(monkeypatch), plans.PlanBook(None)
    monkeypatch.setattr(plans, "Graph", none)
    assert rivals.choose(book, _problem(64)) == "own"
    with pytest.raises(RuntimeError, match=r"cuDNN has no graph.*: not supported"):
        rivals.choose(book, _problem(64, 3))


def _problem(batch, kernel=1):
    pads = (kernel // 2,) * 4
    filters = (8, kernel, kernel)
    return Problem((batch, 8, 4, 4), filters, 1, pads, "fp16", "fp16", False, None, None)
