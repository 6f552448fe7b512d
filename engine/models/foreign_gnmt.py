"""GNMT's tensors as TensorFlow's nmt programs name them (gnmt_v2), in the names and layouts here.

Their LSTMs have one kernel for input and state, gates in the order input, cell, forget, output,
and add 1 to the forget gate when they run. ONNX has two kernels, and the order input, output,
forget, cell.
What has no place in the network, such as an optimiser's state, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORGET_BIAS = 1.0

LSTM = re.compile(
    r"dynamic_seq2seq/(?:(?P<way>encoder/bidirectional_rnn/[fb]w)"
    r"|(?P<side>encoder/rnn|decoder)/multi_rnn_cell/cell_(?P<cell>\d)(?:_attention/attention)?)"
    r"/basic_lstm_cell/(?P<kind>kernel|bias)"
)
EMBEDDING = re.compile(r"(?:embeddings|dynamic_seq2seq)/\w+/embedding_(encoder|decoder)")
ATTENTION = "bahdanau_attention/"
PARTS = {
    "decoder/memory_layer/kernel": "attention.key",
    f"{ATTENTION}query_layer/kernel": "attention.query",
    f"{ATTENTION}attention_v": "attention.vector",
    f"{ATTENTION}attention_g": "attention.scale",
    f"{ATTENTION}attention_b": "attention.bias",
    "output_projection/kernel": "projection",
}
"""Endings of the other tensors' names."""

SIDES = {"encoder": "embedding.source", "decoder": "embedding.target"}


def gnmt_from_tensorflow(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The network's tensors; one that is missing is missing here too."""
    found: dict[str, NDArray[Any]] = {}
    layers: dict[str, dict[str, NDArray[Any]]] = {}
    for name, value in tensors.items():
        if match := LSTM.fullmatch(name):
            layers.setdefault(_layer(match), {})[match["kind"]] = value
        elif match := EMBEDDING.fullmatch(name):
            found[SIDES[match[1]]] = value
        else:
            ours = [part for ending, part in PARTS.items() if name.endswith(f"/{ending}")]
            found |= {part: value.T if value.ndim == 2 else value.reshape(-1) for part in ours}
    ways = [layers.pop(way, {}) for way in ("fw", "bw")]
    if all(len(way) == 2 for way in ways):
        both = zip(*(_lstm(**way).values() for way in ways), strict=True)
        parts = ("input", "recurrent", "bias")
        found |= {f"encoder.1.{p}": np.concatenate(v) for p, v in zip(parts, both, strict=True)}
    for layer, kinds in layers.items():
        if len(kinds) == 2:
            found |= {f"{layer}.{part}": value for part, value in _lstm(**kinds).items()}
    return found


def _layer(match: re.Match[str]) -> str:
    if match["way"]:
        return match["way"].rpartition("/")[2]
    if match["side"] == "decoder":
        return f"decoder.{int(match['cell']) + 1}"
    return f"encoder.{int(match['cell']) + 2}"


def _lstm(kernel: NDArray[Any], bias: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """An LSTM's tensors with one direction."""
    units = len(bias) // 4
    i, j, f, o = np.split(kernel.T, 4)
    both = np.concatenate([i, o, f, j])
    bi, bj, bf, bo = np.split(bias, 4)
    biases = np.concatenate([bi, bo, bf + np.float32(FORGET_BIAS), bj, np.zeros_like(bias)])
    return {
        "input": both[None, :, : len(kernel) - units],
        "recurrent": both[None, :, len(kernel) - units :],
        "bias": biases[None],
    }
