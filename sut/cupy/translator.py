"""A batch of sentences through GNMT: matrix products, and the kernels of ``translation.cu``.

Written over a ``Machine``, so that the same steps run on a device and, for the tests, in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from sut.cupy.machine import Machine
from sut.cupy.translation import Ranking, Recurrent, Translation

FEW = 160
"""Rows up to which a block of each has more threads: about as many as multiprocessors."""
EIGHT = 8
"""Units that a thread has; rows of a matrix come in multiples of so many."""


def stored(machine: Machine, network: Translation) -> dict[str, Any]:
    """The weights as products and kernels want them: arrays of the machine."""

    def half(values: Any) -> Any:
        return machine.array(np.ascontiguousarray(values, machine.number))

    made = {
        "source": half(network.source),
        "target": half(network.target),
        "key": half(network.key),
        "query": half(network.query),
        "projection": half(_padded(network.projection)),
        "ranking": machine.array(_packed(network.ranking)),
        "shift": machine.array(network.shift),
        "direction": machine.array(network.direction),
    }
    for number, layer in enumerate(network.encoder):
        made[f"encoder.{number}.inputs"] = half(np.concatenate(list(layer.inputs)))
        made[f"encoder.{number}.recurrent"] = half(layer.recurrent)
        made[f"encoder.{number}.bias"] = machine.array(layer.bias)
    for number, layer in enumerate(network.decoder):
        both = np.concatenate([layer.inputs[0], layer.recurrent[0]], axis=1)
        made[f"decoder.{number}"] = half(both)
        made[f"decoder.{number}.bias"] = machine.array(layer.bias[0])
    return made


def _packed(ranking: Ranking) -> Any:
    """int32 [8]: the kernels' struct of the same name, whose last two are whole numbers."""
    *parts, start, end = astuple(ranking)
    return np.concatenate(
        [np.array(parts, np.float32).view(np.int32), np.array([start, end], np.int32)]
    )


def _padded(rows: Any) -> Any:
    return np.pad(rows, ((0, -len(rows) % EIGHT), (0, 0)))


def buffers(network: Translation, most: int, longest: int, number: Any) -> dict[str, Any]:
    """Shape and dtype of every array for batches of ``most`` sentences of up to ``longest``."""
    units, layers = network.units, len(network.decoder)
    rows, words = most * network.beams, len(network.projection)
    steps = longest * network.steps_per_token
    whole, single = np.int32, np.float32
    return {
        "control": ((8,), whole),
        "length": ((most,), whole),
        "said": ((longest * most * 2 * units,), number),
        "heard": ((longest * most * 2 * units,), number),
        "inputs": ((longest * most * 8 * units,), number),
        "recurrent": ((2 * most * 4 * units,), single),
        "encoded_hidden": (((layers + 1) * most * units,), number),
        "encoded_cells": (((layers + 1) * most * units,), single),
        "values": ((longest * most, units), number),
        "keys": ((longest * most, units), number),
        "given": ((layers, rows, 3 * units), number),
        "gates": ((rows, 4 * units), number),
        "hidden": ((layers, rows, units), number),
        "cells": ((2, layers, rows, units), single),
        "context": ((rows, units), number),
        "query": ((rows, units), number),
        "decoded": ((rows, units), number),
        "logits": ((rows, words + -words % EIGHT), single),
        "scores": ((rows, longest), single),
        "covered": ((2, rows, longest), single),
        **{name: ((rows,), whole) for name in ("beam_of", "origin", "row_of", "token")},
        "finished": ((rows,), whole),
        **{name: ((rows,), single) for name in ("total", "spoken", "paid")},
        "ids": ((rows, network.beams), whole),
        "logs": ((rows, network.beams), single),
        "ended": ((most,), whole),
        "words": ((steps + 2, rows), whole),
        "parents": ((steps + 2, rows), whole),
    }


class Translator:
    """Runs batches of up to ``most`` sentences of up to ``longest`` tokens, one after the other.

    ``weights``: of ``stored``. Arrays that the host writes and reads: ``rows`` int32 [most], which
    sentences; ``count`` int32 [1]; ``open`` int32 [1], how many go on; ``answers`` int32 [most,
    steps]. ``samples``: int32 [n, 1 + tokens], each a sentence's length and its tokens.
    """

    def __init__(
        self,
        machine: Machine,
        network: Translation,
        weights: Mapping[str, Any],
        host: Mapping[str, Any],
        most: int,
        longest: int,
    ) -> None:
        self._machine, self._network, self._weights = machine, network, weights
        self._most, self._longest, self._beams = most, longest, network.beams
        shapes = buffers(network, most, longest, machine.number)
        self.arrays = {name: machine.empty(*own) for name, own in shapes.items()} | dict(host)

    def encode(self, batch: int, steps: int, samples: Any) -> None:
        """The encoder, for ``batch`` sentences of up to ``steps`` tokens, and the first beams."""
        a, units = self.arrays, self._network.units
        grid, pitch = (steps, batch), samples.shape[1]
        x = a["said"][: steps * batch * units].reshape(steps * batch, units)
        self._run("embed", grid, samples, "rows", "source", x, "length", pitch, units)
        place = 0
        last = len(self._network.encoder) - 1
        for number, layer in enumerate(self._network.encoder):
            wide = len(layer.bias) * units
            free = a["said" if number % 2 else "heard"][: steps * batch * wide]
            out = a["values"][: steps * batch] if number == last else free.reshape(-1, wide)
            self._encoder(number, layer, x, out, (batch, steps, place))
            place += len(layer.bias)
            x = out
        self._machine.multiply(x, self._weights["key"], a["keys"][: steps * batch])
        layers = len(self._network.decoder)
        past = batch * units * (place - layers)  # of two ways the second one's states go on
        names = "hidden cells context covered control beam_of origin row_of token finished total"
        self._run(
            "begin",
            (batch, layers),
            *(a["encoded_hidden"][past:], a["encoded_cells"][past:], "length", "count"),
            *names.split(),
            *("spoken", "paid", "ended", units, self._most * self._beams, self._longest),
            *(self._network.steps_per_token, "ranking"),
        )

    def _encoder(
        self, number: int, layer: Recurrent, x: Any, out: Any, sizes: tuple[int, int, int]
    ) -> None:
        (batch, steps, place), units = sizes, self._network.units
        a, name, ways = self.arrays, f"encoder.{number}", len(layer.bias)
        weights = self._weights
        gates = a["inputs"][: steps * batch * ways * 4 * units].reshape(steps * batch, -1)
        self._machine.multiply(x, weights[f"{name}.inputs"], gates)
        own = slice(place * batch * units, (place + ways) * batch * units)
        hidden, cells = a["encoded_hidden"][own], a["encoded_cells"][own]
        product = a["recurrent"][: ways * batch * 4 * units]
        grid = (-(-batch * units // EIGHT // self._machine.threads), ways)
        residual = x if layer.residual else None
        for step in range(steps):
            if step:
                self._machine.multiply(
                    hidden.reshape(ways, batch, units),
                    weights[f"{name}.recurrent"],
                    product.reshape(ways, batch, 4 * units),
                )
            self._run(
                "encode",
                grid,
                *(gates, product, f"{name}.bias", cells, hidden, residual, out),
                *("length", batch, units, steps, step),
            )

    def step(self, batch: int, turn: int) -> None:
        """One step of the search, for up to ``batch`` sentences that go on of those encoded;
        ``turn``: 0 and 1, one after the other.
        """
        a, units, layers = self.arrays, self._network.units, len(self._network.decoder)
        rows, whole = batch * self._beams, self._most * self._beams
        self._run(
            "take",
            (rows,),
            *("target", "token", "beam_of", "origin", "context", "hidden"),
            *("given", "control", units, whole, layers),
        )
        self._decoder(0, rows, turn)
        self._machine.multiply(a["hidden"][0, :rows], self._weights["query"], a["query"][:rows])
        self._run(
            "attend",
            (rows,),
            *("query", "shift", "direction", "keys", "values", "length"),
            *("beam_of", "origin", a["covered"][turn], a["covered"][1 - turn], "scores", "paid"),
            *("context", "given", "control", units, self._longest, whole, layers),
            np.float32(self._network.ranking.least_covered),
        )
        for number in range(1, layers):
            self._decoder(number, rows, turn)
        self._machine.multiply(a["decoded"][:rows], self._weights["projection"], a["logits"][:rows])
        words, pitch = len(self._network.projection), a["logits"].shape[1]
        self._run(
            "candidates",
            (rows,),
            *("logits", "beam_of", "ids", "logs", "control", words, pitch),
            threads=self._machine.most_threads if rows <= FEW else 0,
        )
        names = "ids logs token finished total spoken paid row_of beam_of origin ended"
        self._run(
            "choose",
            (self._most,),
            *(*names.split(), "words", "parents", whole, "open", "control", "ranking"),
            threads=32,
        )

    def _decoder(self, number: int, rows: int, turn: int) -> None:
        a, units, layers = self.arrays, self._network.units, len(self._network.decoder)
        given, last = a["given"][number], number == layers - 1
        self._machine.multiply(given[:rows], self._weights[f"decoder.{number}"], a["gates"][:rows])
        out = a["decoded"] if last else a["given"][number + 1]
        grid = (-(-rows * units // EIGHT // self._machine.threads),)
        residual = given if self._network.decoder[number].residual else None
        self._run(
            "decode",
            grid,
            *("gates", f"decoder.{number}.bias", a["cells"][turn, number]),
            *(a["cells"][1 - turn, number], "origin", a["hidden"][number], residual, 3 * units),
            *(out, units if last else 3 * units, "control", units),
        )

    def answer(self, batch: int) -> None:
        """The best beam of each of ``batch`` sentences, to ``answers``."""
        most, end = self.arrays["answers"].shape[1], self._network.ranking.end
        whole = self._most * self._beams
        self._run(
            "answer", (batch,), "ended", "words", "parents", "answers", whole, most, end, threads=32
        )

    def _run(self, name: str, grid: Sequence[int], *arguments: Any, threads: int = 0) -> None:
        """A kernel; strings name arrays or weights, whole numbers are int32."""
        known = {**self._weights, **self.arrays}
        given = [
            known[x] if isinstance(x, str) else np.int32(x) if isinstance(x, int) else x
            for x in arguments
        ]
        self._machine.launch(name, grid, threads or self._machine.threads, given)
