"""GNMT in PyTorch, as one would write it: nn.LSTM encodes, LSTMCell and topk decode, in fp16."""

from __future__ import annotations

from typing import Any

import numpy as np

from sut.cupy.translation import Recurrent, Translation

ORDER = (0, 2, 3, 1)
"""PyTorch's gates (input, forget, cell, output) in ONNX's numbers."""


class Translator:
    """``network`` on the device, in half precision; log-probabilities and scores in single."""

    def __init__(self, network: Translation) -> None:
        import torch

        self._torch, self._network = torch, network

        def half(values: Any) -> Any:
            return torch.from_numpy(np.array(values)).cuda().half()

        parts = ("source", "target", "key", "query", "shift", "direction", "projection")
        self._w = {name: half(getattr(network, name)) for name in parts}
        with torch.no_grad():
            self._encoder = [self._layer(x) for x in network.encoder]
            self._decoder = [self._cell(x) for x in network.decoder]

    def __call__(self, tokens: Any, lengths: Any) -> Any:
        """int [n, T] of tokens int64 [n, S] on the device and lengths int64 [n] on the host."""
        with self._torch.inference_mode():
            return self._search(*self._encode(tokens, lengths), lengths=lengths)

    def _layer(self, layer: Recurrent) -> Any:
        ways, _, inputs = layer.inputs.shape
        units = layer.recurrent.shape[2]
        made = self._torch.nn.LSTM(inputs, units, bidirectional=ways == 2, batch_first=True)
        for way, end in zip(range(ways), ("", "_reverse"), strict=False):
            parts = (layer.inputs[way], layer.recurrent[way], layer.bias[way])
            for name, values in zip(("weight_ih", "weight_hh", "bias_ih"), parts, strict=True):
                getattr(made, f"{name}_l0{end}").copy_(self._gates(values))
            getattr(made, f"bias_hh_l0{end}").zero_()
        return made.cuda().half()

    def _cell(self, layer: Recurrent) -> Any:
        made = self._torch.nn.LSTMCell(layer.inputs.shape[2], layer.recurrent.shape[2])
        made.weight_ih.copy_(self._gates(layer.inputs[0]))
        made.weight_hh.copy_(self._gates(layer.recurrent[0]))
        made.bias_ih.copy_(self._gates(layer.bias[0]))
        made.bias_hh.zero_()
        return made.cuda().half()

    def _gates(self, values: Any) -> Any:
        apart = np.array(values).reshape(4, -1, *values.shape[1:])[list(ORDER)]
        return self._torch.from_numpy(apart.reshape(values.shape))

    def _encode(self, tokens: Any, lengths: Any) -> tuple[Any, Any]:
        rnn = self._torch.nn.utils.rnn
        x, states = self._w["source"][tokens], []
        for layer, own in zip(self._encoder, self._network.encoder, strict=True):
            packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            said, (hidden, cell) = layer(packed)
            y = rnn.pad_packed_sequence(said, batch_first=True)[0]
            x = x + y if own.residual else y
            states.append((hidden[-1], cell[-1]))
        return x, states

    def _search(self, memory: Any, states: Any, *, lengths: Any) -> Any:
        torch, own, w = self._torch, self._network, self._w
        rank, beams = own.ranking, own.beams
        n, places, units = memory.shape
        keys = (memory @ w["key"].T)[:, None]
        inside = (torch.arange(places)[None] < lengths[:, None]).cuda()[:, None]
        states = [[x.repeat_interleave(beams, 0) for x in pair] for pair in states]
        token = torch.full((n * beams,), rank.start, device="cuda")
        total = torch.full((n, beams), rank.impossible, device="cuda")
        total[:, 0] = 0
        only = total[:1, :].clone()
        spoken, over = torch.zeros_like(total), torch.zeros_like(total, dtype=torch.bool)
        covered = torch.zeros(n, beams, places, device="cuda")
        context = memory.new_zeros(n * beams, units)
        sequence = token.new_zeros(n * beams, 0)
        first = (torch.arange(n, device="cuda") * beams)[:, None]
        for _ in range(own.steps_per_token * int(lengths.max())):
            x = torch.cat([w["target"][token], context], 1)
            new = []
            for number, (cell, layer) in enumerate(zip(self._decoder, own.decoder, strict=True)):
                hidden, after = cell(x, states[number])
                new.append((hidden, after))
                y = x[:, :units] + hidden if layer.residual else hidden
                if number == 0:
                    query = (hidden @ w["query"].T + w["shift"]).view(n, beams, 1, units)
                    score = (torch.tanh(keys + query) @ w["direction"]).float()
                    looks = score.masked_fill(~inside, -1e9).softmax(-1)
                    context = (looks.half() @ memory).view(-1, units)
                x = torch.cat([y, context], 1)
            log = torch.log_softmax((y @ w["projection"].T).float(), 1)
            gain, ids = (x.view(n, beams, beams) for x in log.topk(beams, 1))
            ids = torch.where(over[..., None], rank.end, ids)
            sums = total[..., None] + torch.where(over[..., None], only, gain)
            words = spoken[..., None] + (ids != rank.end)
            covered += torch.where(over[..., None], 0, looks)
            paid = (covered.clip(rank.least_covered, 1).log() * inside).sum(-1, keepdim=True)
            lp = ((words + rank.length_shift) / rank.length_unit) ** rank.length_power
            ranked = (sums / lp + rank.coverage_weight * paid).view(n, -1)
            chosen = ranked.topk(beams, 1).indices
            rows = (chosen // beams + first).view(-1)
            total, spoken, ids = (x.view(n, -1).gather(1, chosen) for x in (sums, words, ids))
            over, token = ids == rank.end, ids.view(-1)
            sequence = torch.cat([sequence[rows], token[:, None]], 1)
            covered, context = covered.view(n * beams, -1)[rows].view_as(covered), context[rows]
            states = [[x[rows] for x in pair] for pair in new]
            if bool(over.all()):
                break
        return sequence[::beams]
