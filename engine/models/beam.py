"""Beam search as an ONNX loop, for a whole batch: length and coverage penalty as in GNMT.

Wu et al., arXiv:1609.08144, section 7: hypotheses are ranked by log-probability / lp(length) +
cp(coverage). A finished hypothesis keeps its beam; the search ends when every beam is finished, or
after twice as many steps as the longest sentence has tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from onnx import TensorProto, helper

from engine.models.graph import Builder

if TYPE_CHECKING:
    from engine.models.gnmt import Memory, Step

WIDTH = 10
LENGTH_PENALTY = 1.0
COVERAGE_PENALTY = 0.1
STEPS_PER_TOKEN = 2
UNKNOWN, START, END = 0, 1, 2
"""The first tokens of a vocabulary."""

IMPOSSIBLE = -1e7
LEAST_COVERED = 1e-6

KINDS: dict[str, tuple[int, Sequence[str | int | None]]] = {
    "last.token": (TensorProto.INT64, ["beams"]),
    "last.total": (TensorProto.FLOAT, ["batch", WIDTH]),
    "last.spoken": (TensorProto.FLOAT, ["batch", WIDTH]),
    "last.finished": (TensorProto.BOOL, ["batch", WIDTH]),
    "last.covered": (TensorProto.FLOAT, ["beams", "longest"]),
    "last.sequence": (TensorProto.INT64, ["beams", "steps"]),
    "last.context": (TensorProto.FLOAT, ["beams", "units"]),
}
"""What a step hands on to the next, beside the decoder's states: each beam's last token, summed
log-probabilities, number of tokens, whether it is finished, the attention it has paid to each
token, its tokens, and the attention's last context."""


class Decode(Protocol):
    """A decoder's step, as ``gnmt.decode``."""

    def __call__(self, b: Builder, *, token: str, context: str, states: Sequence[str]) -> Step: ...


def search(b: Builder, memory: Memory, units: int, decode: Decode) -> str:
    """The best hypothesis of each sentence: name of an int32 [n, T] tensor."""
    first = [*_first(b, memory, units), *_repeated(b, memory)]
    body = Builder(b.epsilon, shapes=b.shapes, drawn=b.drawn, filled=b.filled)
    kinds = KINDS | {
        f"last.state.{number}": (TensorProto.FLOAT, [1, "beams", units])
        for number in range(2 * len(memory.states))
    }
    going, *after = _step(body, memory, decode, list(kinds)[len(KINDS) :])
    inputs = [
        helper.make_tensor_value_info("step", TensorProto.INT64, []),
        helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        *(helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()),
    ]
    outputs = [
        helper.make_tensor_value_info(going, TensorProto.BOOL, []),
        *(
            helper.make_tensor_value_info(name, *kind)
            for name, kind in zip(after, kinds.values(), strict=True)
        ),
    ]
    loop = helper.make_graph(body.nodes, "step", inputs, outputs)
    last = [f"{name}.final" for name in kinds]
    most = b.node("Mul", "most", ["longest.int64", b.constant("twice", STEPS_PER_TOKEN, np.int64)])
    yes = b.constant("yes", True, np.bool_)
    b.nodes.append(helper.make_node("Loop", [most, yes, *first], last, "search", body=loop))
    return _best(b, last[list(kinds).index("last.sequence")])


def _first(b: Builder, memory: Memory, units: int) -> list[str]:
    """Before the first step all beams are the same, so only the first one may go on."""
    n = b.node("Shape", "batch", ["length"])
    beams = b.node("Mul", "beams", [n, b.constant("width", [WIDTH], np.int64)])
    ranks = b.node("Concat", "ranks", [n, b.constant("width.axis", [WIDTH], np.int64)], axis=0)
    longest = b.node("Concat", "covered.shape", [beams, "longest.int64"], axis=0)
    none = b.constant("none", [0], np.int64)
    no_tokens = b.node("Concat", "sequence.shape", [beams, none], axis=0)
    wide = b.constant("units", [units], np.int64)
    seen = b.node("Concat", "context.shape", [beams, wide], axis=0)
    only = [0.0] + [IMPOSSIBLE] * (WIDTH - 1)

    def full(name: str, value: str, shape: str) -> str:
        return b.node("Expand", f"{name}.first", [value, shape])

    nothing = b.constant("nothing", 0.0)
    return [
        full("token", b.constant("start", START, np.int64), beams),
        full("total", b.constant("only_first", only), ranks),
        full("spoken", nothing, ranks),
        full("finished", b.constant("no", False, np.bool_), ranks),
        full("covered", nothing, longest),
        full("sequence", b.constant("no_token", 0, np.int64), no_tokens),
        full("context", nothing, seen),
    ]


def _repeated(b: Builder, memory: Memory) -> list[str]:
    """The encoder's last states [1, n, units], once for each beam: [1, n WIDTH, units]."""
    apart = b.constant("state.apart", [1, 1, WIDTH, 1], np.int64)
    behind = b.constant("state.behind", [2], np.int64)
    names = []
    for state in (state for pair in memory.states for state in pair):
        x = b.node("Unsqueeze", f"{state}.wide", [state, behind])
        x = b.node("Tile", f"{state}.beams", [x, apart])
        x = b.node("Flatten", f"{state}.rows", [x], axis=3)
        names.append(b.node("Unsqueeze", f"{state}.first", [x, "axis.first"]))
    return names


def _step(b: Builder, memory: Memory, decode: Decode, states: Sequence[str]) -> list[str]:
    """The loop's body: whether to go on, and what KINDS and the states have become."""
    said = decode(b, token="last.token", context="last.context", states=states)
    ids, gain = _candidates(b, said.logits)
    last = b.constant("axis.rank", [-1], np.int64)
    over = b.node("Unsqueeze", "finished.each", ["last.finished", last])
    end = b.constant("end", END, np.int64)
    ids = b.node("Where", "ids.kept", [over, end, ids])
    nothing_more = b.constant("nothing_more", [0.0] + [IMPOSSIBLE] * (WIDTH - 1))
    gain = b.node("Where", "gain.kept", [over, nothing_more, gain])
    total = b.add(b.node("Unsqueeze", "total.each", ["last.total", last]), gain, "total.all")
    ends = b.node("Equal", "ends.here", [ids, end])
    speaks = b.node("Cast", "speaks", [b.node("Not", "goes_on", [ends])], to=TensorProto.FLOAT)
    spoken = b.add(b.node("Unsqueeze", "spoken.each", ["last.spoken", last]), speaks, "spoken.all")
    covered = _covered(b, memory, said.attention)
    score = b.node("Div", "score.by_length", [total, _length_penalty(b, spoken)])
    score = b.add(score, _coverage_penalty(b, memory, covered), "score.all")
    return _chosen(b, score, ids, total, spoken, covered, said)


def _candidates(b: Builder, logits: str) -> tuple[str, str]:
    """The best tokens of each beam and their log-probabilities: [n, WIDTH, WIDTH]."""
    count = b.constant("candidates", [WIDTH], np.int64)
    names = ["best.log", "best.ids"]
    log = b.node("LogSoftmax", "log", [logits], axis=1)
    b.nodes.append(helper.make_node("TopK", [log, count], names, "best", axis=1))
    apart = b.constant("candidates.apart", [-1, WIDTH, WIDTH], np.int64)
    return b.node("Reshape", "ids", [names[1], apart]), b.node("Reshape", "gain", [names[0], apart])


def _covered(b: Builder, memory: Memory, attention: str) -> str:
    """The attention paid so far [n, WIDTH, S]; a finished beam pays no more."""
    like = b.node("Shape", "attention.shape", [attention])
    before = b.node("Reshape", "covered.before", ["last.covered", like])
    over = b.node("Unsqueeze", "finished.places", ["last.finished", "axis.rank"])
    paid = b.node("Where", "paid", [over, b.constant("no_attention", 0.0), attention])
    return b.add(before, paid, "covered.now")


def _length_penalty(b: Builder, spoken: str) -> str:
    five, six = b.constant("five", 5.0), b.constant("six", 6.0)
    relative = b.node("Div", "spoken.relative", [b.add(spoken, five, "spoken.and_five"), six])
    return b.node("Pow", "lp", [relative, b.constant("length_penalty", LENGTH_PENALTY)])


def _coverage_penalty(b: Builder, memory: Memory, covered: str) -> str:
    limits = [b.constant("least_covered", LEAST_COVERED), b.constant("whole_covered", 1.0)]
    log = b.node("Log", "covered.log", [b.node("Clip", "covered.part", [covered, *limits])])
    log = b.node("Mul", "covered.inside", [log, memory.inside])
    cp = b.node("ReduceSum", "cp", [log, b.constant("axis.places", [2], np.int64)], keepdims=1)
    return b.node("Mul", "cp.weighted", [cp, b.constant("coverage_penalty", COVERAGE_PENALTY)])


def _chosen(
    b: Builder, score: str, ids: str, total: str, spoken: str, covered: str, said: Step
) -> list[str]:
    """The best of all candidates of a sentence go on, each with its parent's past."""
    flat = b.constant("candidates.flat", [0, -1], np.int64)
    count = b.constant("beams.count", [WIDTH], np.int64)
    scores = b.node("Reshape", "score.flat", [score, flat])
    names = ["chosen.score", "chosen"]
    b.nodes.append(helper.make_node("TopK", [scores, count], names, "choice", axis=1))

    def of_chosen(name: str, values: str) -> str:
        values = b.node("Reshape", f"{name}.flat", [values, flat])
        return b.node("GatherElements", f"{name}.chosen", [values, names[1]], axis=1)

    width = b.constant("beams.width", WIDTH, np.int64)
    parent = b.node("Div", "parent", [names[1], width])
    rows = _rows(b, parent, width)

    def of_parent(name: str, values: str, axis: int = 0) -> str:
        return b.node("Gather", f"{name}.after", [values, rows], axis=axis)

    line = b.constant("line", [-1], np.int64)
    token = of_chosen("token", ids)
    over = b.node("Equal", "finished.after", [token, "end"])
    token = b.node("Reshape", "token.after", [token, line])
    shape = b.node("Shape", "covered.rows", ["last.covered"])
    covered = b.node("Reshape", "covered.flat", [covered, shape])
    said_so_far = of_parent("sequence", "last.sequence")
    column = b.node("Unsqueeze", "token.column", [token, b.constant("axis.step", [1], np.int64)])
    open_beams = b.node("Cast", "open", [b.node("Not", "open.bool", [over])], to=TensorProto.INT32)
    some = b.node("ReduceMax", "open.some", [open_beams], keepdims=0)
    return [
        b.node("Cast", "going.on", [some], to=TensorProto.BOOL),
        token,
        of_chosen("total", total),
        of_chosen("spoken", spoken),
        over,
        of_parent("covered", covered),
        b.node("Concat", "sequence.grown", [said_so_far, column], axis=1),
        of_parent("context", said.context),
        *(of_parent(f"{state}", state, axis=1) for state in said.states),
    ]


def _rows(b: Builder, parent: str, width: str) -> str:
    """Row of each chosen beam's parent among all beams of the batch: [n WIDTH]."""
    n = b.node("Shape", "parents.shape", [parent])
    at = [b.constant("first.dim", 0, np.int64)]
    n = b.node("Gather", "parents.batch", [n, *at])
    step = b.constant("step.one", 1, np.int64)
    numbers = b.node("Range", "sentence", [at[0], n, step])
    begin = b.node("Mul", "sentence.begin", [numbers, width])
    begin = b.node("Unsqueeze", "sentence.column", [begin, b.constant("column", [1], np.int64)])
    rows = b.add(parent, begin, "rows.apart")
    return b.node("Reshape", "rows", [rows, b.constant("rows.line", [-1], np.int64)])


def _best(b: Builder, sequence: str) -> str:
    """The first beam of each sentence is the best: the chosen come in order."""
    b.constant("everything", [2**31], np.int64)
    stride = b.constant("beams.stride", [WIDTH], np.int64)
    from_first = b.node(
        "Slice", "best.rows", [sequence, "axis.first", "everything", "axis.first", stride]
    )
    return b.node("Cast", "translation", [from_first], to=TensorProto.INT32)
