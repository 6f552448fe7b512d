"""GNMT read from its ONNX file: encoder, attention, decoder and the parameters of its beam search.

The search is a loop. What its body makes of a step's results is followed node by node, and refused
with the node's name where it computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.pattern import Graph, Pattern

Floats = NDArray[np.float32]
WHAT = "translation by GNMT (recurrent layers, normalised attention, beam search in a loop)"
MOST_BEAMS = 32


@dataclass(frozen=True)
class Recurrent:
    """A layer of LSTMs; gates in ONNX's order: input, output, forget, cell.

    ``inputs`` [ways, 4 units, inputs], ``recurrent`` [ways, 4 units, units], ``bias`` [ways,
    4 units]. ``residual``: what it is given is added to what it says.
    """

    inputs: Floats
    recurrent: Floats
    bias: Floats
    residual: bool


@dataclass(frozen=True)
class Ranking:
    """How hypotheses are ranked: log-probability / lp + ``coverage_weight`` * cp.

    lp: ((tokens + ``length_shift``) / ``length_unit``) ** ``length_power``; cp: the sum of the logs
    of what each source token was covered with, between ``least_covered`` and 1. ``impossible``:
    what keeps a beam from going on. ``start``, ``end``: tokens.
    """

    length_shift: float
    length_unit: float
    length_power: float
    coverage_weight: float
    least_covered: float
    impossible: float
    start: int
    end: int


@dataclass(frozen=True)
class Translation:
    """The network: ``source`` and ``target`` [words, units] are embeddings, ``projection``
    [words, units] the output layer, ``key`` and ``query`` [units, units], ``shift`` and
    ``direction`` [units] the attention, which the decoder's first layer asks and all others see.

    The first of the encoder's layers, and only that, has two ways. ``beams``: of each sentence.
    ``steps_per_token``: the search ends after so many times the tokens of the longest sentence.
    """

    source: Floats
    target: Floats
    encoder: tuple[Recurrent, ...]
    decoder: tuple[Recurrent, ...]
    key: Floats
    query: Floats
    shift: Floats
    direction: Floats
    projection: Floats
    beams: int
    steps_per_token: int
    ranking: Ranking

    @property
    def units(self) -> int:
        """Of every layer."""
        return int(self.source.shape[1])

    @property
    def parameter_count(self) -> int:
        """Numbers in half precision."""
        layers = (*self.encoder, *self.decoder)
        whole = (self.source, self.target, self.key, self.query, self.projection)
        return sum(x.inputs.size + x.recurrent.size for x in layers) + sum(x.size for x in whole)


OVER: Pattern = ("Unsqueeze", ">finished", "*")
IDS: Pattern = ("Where", OVER, "=end", ("Reshape", ">ids", "*"))
SPOKEN: Pattern = (
    "Add",
    ("Unsqueeze", ">spoken", "*"),
    ("Cast", ("Not", ("Equal", IDS, "=end"))),
)
TOTAL: Pattern = (
    "Add",
    ("Unsqueeze", ">total", "*"),
    ("Where", OVER, "=nothing_more", ("Reshape", ">log", "*")),
)
LENGTH: Pattern = ("Pow", ("Div", ("Add", SPOKEN, "=length_shift"), "=length_unit"), "=power")
COVERED: Pattern = (
    "Add",
    ("Reshape", ">covered", "*"),
    ("Where", OVER, "=no_attention", ">attention"),
)
COVERAGE: Pattern = (
    "Mul",
    ("ReduceSum", ("Mul", ("Log", ("Clip", COVERED, "=least", "=whole")), ">inside"), "*"),
    "=coverage",
)
SCORE: Pattern = ("Add", ("Div", TOTAL, LENGTH), COVERAGE)
CHOSEN: Pattern = ("TopK", ("Reshape", SCORE, "*"), "=beams")
CANDIDATES: Pattern = (
    "TopK",
    ("LogSoftmax", ("MatMul", ">decoded", ("Transpose", "=projection"))),
    "=beams",
)
ROWS: Pattern = ("Reshape", ("Add", ("Div", ">chosen", "=width"), "*"), "*")
QUERY: Pattern = ("Add", ("Reshape", ("MatMul", ">asking", ("Transpose", "=query")), "*"), "=shift")
KEYS: Pattern = ("Unsqueeze", ("MatMul", ">memory", ("Transpose", "=key")), "*")
DIRECTION: Pattern = ("Mul", "=vector", ("Div", "=scale", ("ReduceL2", "=vector")))
ATTENTION: Pattern = (
    "Softmax",
    (
        "Add",
        ("MatMul", ("Tanh", ("Add", KEYS, QUERY)), DIRECTION),
        ("Mul", ("Sub", ">inside", "=one"), "=lowest"),
    ),
)
CONTEXT: Pattern = ("Reshape", ("MatMul", ">attention", ">memory"), "*")
INSIDE: Pattern = ("Unsqueeze", ("Cast", ("Less", "*", ("Unsqueeze", ">length", "*"))), "*")
SEQUENCE: Pattern = (
    "Concat",
    ("Gather", ">sequence", ">rows"),
    ("Unsqueeze", ("Reshape", ("GatherElements", ("Reshape", IDS, "*"), ">chosen"), "*"), "*"),
)


def translation(graph: Any, output: str) -> Translation | None:
    """The network of an ONNX graph whose answer is ``output``, int32 [n, T]; None without a loop.

    Raises RuntimeError, with the node, for another one that has a loop.
    """
    loops = [node for node in graph.node if node.op_type == "Loop"]
    return _Reader(graph, loops[0]).read(output) if loops else None


class _Reader:
    def __init__(self, graph: Any, loop: Any) -> None:
        self._loop, self._body = loop, loop.attribute[0].g
        self._graph = Graph([graph, self._body], WHAT)
        self._inputs = [x.name for x in graph.input]

    def read(self, output: str) -> Translation:
        found, tensors, constants = self._graph, self._graph.tensors, self._graph.constants
        found.find(output, ("Cast", ("Slice", ">answer", "*", "*", "*", "=beams")))
        names = list(self._loop.output)
        found.want(tensors["answer"] in names, output)
        found.find(self._after(names.index(tensors["answer"])), SEQUENCE)
        found.find(tensors["chosen"], CHOSEN)
        found.find(tensors["rows"], ROWS)
        found.find(tensors["log"], CANDIDATES)
        found.want(tensors["ids"] == found.maker(tensors["log"], "TopK").output[1], tensors["ids"])
        found.find(tensors["attention"], ATTENTION)
        found.find(tensors["inside"], INSIDE)
        decoder, target = self._decoder()
        encoder, source, states = self._encoder()
        start = self._states(encoder, states)
        found.find(self._loop.input[0], ("Mul", "*", "=steps_per_token"))
        only_first, nothing_more = self._first("total"), constants["nothing_more"]
        beams = int(constants["beams"].item())
        penalty = np.r_[np.float32(0), np.repeat(only_first.ravel()[-1], beams - 1)]
        plain = (np.array_equal(only_first, penalty), np.array_equal(nothing_more, penalty))
        same = all(constants[x].item() == 1 for x in ("whole", "one")) and beams <= MOST_BEAMS
        same &= constants["width"].item() == beams and constants["lowest"].item() >= 1e8
        found.want(all(plain) and same and not constants["no_attention"].any(), tensors["chosen"])
        vector = constants["vector"].astype(np.float32)
        direction = vector * (constants["scale"] / np.linalg.norm(vector))
        number = {name: float(x.item()) for name, x in constants.items() if x.size == 1}
        ranking = Ranking(
            length_shift=number["length_shift"],
            length_unit=number["length_unit"],
            length_power=number["power"],
            coverage_weight=number["coverage"],
            least_covered=number["least"],
            impossible=float(penalty[-1]),
            start=start,
            end=int(number["end"]),
        )
        return Translation(
            source=source,
            target=target,
            encoder=encoder,
            decoder=decoder,
            key=constants["key"],
            query=constants["query"],
            shift=constants["shift"],
            direction=direction.astype(np.float32),
            projection=constants["projection"],
            beams=beams,
            steps_per_token=int(number["steps_per_token"]),
            ranking=ranking,
        )

    def _after(self, place: int) -> str:
        """What the body makes of the loop's value number ``place``."""
        return str(self._body.output[place + 1].name)

    def _place(self, name: str) -> int:
        """The number of the loop's value that the body knows as ``name``."""
        names = [x.name for x in self._body.input][2:]
        self._graph.want(name in names, name)
        return names.index(name)

    def _first(self, kept: str) -> NDArray[Any]:
        """What a value of the loop is before the first step."""
        name = self._loop.input[2 + self._place(self._graph.tensors[kept])]
        node = self._graph.maker(name, "Expand")
        return self._graph.value(node.input[0])

    def _decoder(self) -> tuple[tuple[Recurrent, ...], Floats]:
        """Its layers, from the last one back to the last word's embedding."""
        found, tensors = self._graph, self._graph.tensors
        name, seen = tensors["decoded"], ">context"
        layers: list[Recurrent] = []
        while not found.is_made_by(name, "Gather"):
            residual = found.is_made_by(name, "Add")
            out = found.maker(name, "Add").input[0] if residual else name
            node = found.maker(found.maker(out, "Squeeze").input[0], "LSTM")
            first = out == tensors["asking"]
            seen = ">last_context" if first else ">context"
            tensors.pop("given", None)
            found.find(node.input[0], ("Unsqueeze", ("Concat", ">given", seen), "*"))
            found.want(not residual or tensors["given"] == found.maker(name, "Add").input[1], name)
            found.want(found.maker(out, "Squeeze").input[0] == node.output[1], out)
            found.want(len(node.input) == 7 and not node.input[4], node.output[0])
            for number, kept in zip((1, 2), node.input[5:], strict=True):
                after = self._after(self._place(kept))
                found.find(after, ("Gather", f">{node.output[number]}", ">rows"))
                found.want(tensors[node.output[number]] == node.output[number], after)
            tensors[f"states.{len(layers)}"] = " ".join(node.input[5:])
            layers.append(self._layer(node, residual, 1))
            name = tensors["given"]
        found.find(name, ("Gather", "=target", ">token"))
        found.want(seen == ">last_context" and len(layers) > 1, name)
        found.find(tensors["context"], CONTEXT)
        found.find(
            self._after(self._place(tensors["last_context"])), ("Gather", ">context", ">rows")
        )
        return tuple(reversed(layers)), found.constants["target"]

    def _encoder(self) -> tuple[tuple[Recurrent, ...], Floats, list[list[str]]]:
        """Its layers, the embedding, and each layer's last hidden and cell state."""
        found, tensors = self._graph, self._graph.tensors
        name = found.maker(tensors["memory"], "Transpose").input[0]
        layers: list[Recurrent] = []
        states: list[list[str]] = []
        while not found.is_made_by(name, "Transpose"):
            residual, both = found.is_made_by(name, "Add"), found.is_made_by(name, "Reshape")
            out = found.maker(name, "Add").input[0] if residual else name
            if both:
                found.find(out, ("Reshape", ("Transpose", ">two"), "*"))
            node = found.maker(
                tensors["two"] if both else found.maker(out, "Squeeze").input[0], "LSTM"
            )
            given = node.input[0]
            found.want(not residual or given == found.maker(name, "Add").input[1], name)
            found.want(list(node.input[4:]) == [tensors["length"]], node.output[0])
            layers.append(self._layer(node, residual, 2 if both else 1))
            states.append(list(node.output[1:]))
            name = given
        found.find(name, ("Transpose", ("Gather", "=source", ("Slice", ">tokens", "*", "*", "*"))))
        found.want([tensors["tokens"], tensors["length"]] == self._inputs, name)
        ways = [len(layer.bias) for layer in reversed(layers)]
        found.want(len(ways) > 1 and ways == [2] + [1] * (len(ways) - 1), name)
        return tuple(reversed(layers)), found.constants["source"], states[::-1]

    def _states(self, encoder: tuple[Recurrent, ...], states: list[list[str]]) -> int:
        """Check that each decoder's layer starts where the encoder's ends; the first token."""
        found, tensors = self._graph, self._graph.tensors
        kept = [tensors[x].split() for x in sorted(tensors) if x.startswith("states.")][::-1]
        found.want(len(kept) == len(states), tensors["decoded"])
        for layer, own, ends in zip(encoder, kept, states, strict=True):
            for name, end in zip(own, ends, strict=True):
                first = self._loop.input[2 + self._place(name)]
                tensors.pop("state", None)
                wide: Pattern = ("Tile", ("Unsqueeze", ">state", "*"), "*")
                found.find(first, ("Unsqueeze", ("Flatten", wide), "*"))
                state = tensors["state"]
                if len(layer.bias) == 2:  # of two ways the second one's
                    way = found.maker(state, "Gather")
                    found.want(found.value(way.input[1]).tolist() == [1], state)
                    state = way.input[0]
                found.want(state == end, first)
        return int(self._first("token").item())

    def _layer(self, node: Any, residual: bool, ways: int) -> Recurrent:
        found, name = self._graph, node.output[0]
        attributes = found.attributes(node)
        plain = set(attributes) <= {"hidden_size", "direction"}
        direction = attributes.get("direction", "forward")
        found.want(plain and direction == ("forward", "bidirectional")[ways - 1], name)
        inputs, recurrent, bias = (found.value(x).astype(np.float32) for x in node.input[1:4])
        units = recurrent.shape[2]
        found.want(units % 8 == 0 and len(bias) == ways, name)
        return Recurrent(inputs, recurrent, bias[:, : 4 * units] + bias[:, 4 * units :], residual)
