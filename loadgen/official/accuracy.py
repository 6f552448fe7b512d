"""The accuracy log: the bytes of the logged responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.log import RunLog
from loadgen.official.text import Bytes, Integers, decimal, hexadecimal, joined_rows
from loadgen.settings import Scenario

Response = NDArray[Any]

BLOCK = 16384
NOTHING = np.empty(0, np.uint8)
# Longer responses gain nothing from being written side by side.
SHORT_BYTES = 1024


def accuracy_blocks(log: RunLog) -> Iterator[bytes]:
    """The accuracy log, a JSON array with a line for each response, in the order of completion.

    Raises TypeError for a response that holds Python objects.
    """
    ids = logged_samples(log)
    yield b"[\n"
    for first in range(0, len(ids), BLOCK):
        block = ids[first : first + BLOCK]
        yield from _rows(log, block, last=first + BLOCK >= len(ids))
    yield b"]\n"


def logged_samples(log: RunLog) -> NDArray[np.int64]:
    """int64: ids of the samples that were answered and whose responses were kept, as they came."""
    if not log.responses:
        return np.empty(0, np.int64)
    kept = np.fromiter((r is not None for r in log.responses), bool, len(log.responses))
    ids = np.flatnonzero(kept & log.done)
    return ids[np.argsort(log.completed_ns[ids], kind="stable")]


def _rows(log: RunLog, ids: NDArray[np.int64], last: bool) -> Iterator[bytes]:
    assert log.responses is not None
    texts = {"data": _kept(log.responses, ids)}
    # As the format has it: of first tokens, those that were timed.
    if log.first_tokens is not None and log.settings.scenario is not Scenario.OFFLINE:
        texts["token_data"] = _kept(log.first_tokens, ids)
    numbers: dict[str, Integers] = {"seq_id": ids, "qsl_idx": log.sample_index[ids]}
    counts: dict[str, Integers] = {}
    if log.token_count is not None:
        counts["token_count"] = log.token_count[ids]
    if all(_alike(column) for column in texts.values()):
        rows = _side_by_side(numbers, texts, counts)
        yield rows[:-2] + b"\n" if last else rows
        return
    # Few or long rows, one at a time, so that only one is in memory as text.
    for place in range(len(ids)):
        values = [f'"{key}" : {column[place]}' for key, column in numbers.items()]
        for key, responses in texts.items():
            values.append(f'"{key}" : "{responses[place].tobytes().hex().upper()}"')
        values += [f'"{key}" : {column[place]}' for key, column in counts.items()]
        comma = "" if last and place == len(ids) - 1 else ","
        yield f"{{ {', '.join(values)} }}{comma}\n".encode()


def _side_by_side(
    numbers: dict[str, Integers], texts: dict[str, list[Response]], counts: dict[str, Integers]
) -> bytes:
    fields: list[bytes | Bytes] = []
    for key, column in numbers.items():
        fields += [f', "{key}" : '.encode(), decimal(column)]
    for key, responses in texts.items():
        joined = b"".join(response.tobytes() for response in responses)
        data = np.frombuffer(joined, np.uint8).reshape(len(responses), -1)
        fields += [f', "{key}" : "'.encode(), hexadecimal(data), b'"']
    for key, column in counts.items():
        fields += [f', "{key}" : '.encode(), decimal(column)]
    first, *rest = fields
    assert isinstance(first, bytes)
    return joined_rows(b"{ " + first.removeprefix(b", "), *rest, b" },\n")


def _alike(responses: list[Response]) -> bool:
    sizes = {response.nbytes for response in responses}
    return len(sizes) == 1 and 0 < sizes.pop() <= SHORT_BYTES


def _kept(responses: list[Response | None], ids: NDArray[np.int64]) -> list[Response]:
    found = [responses[sample] for sample in ids.tolist()]
    kept = [NOTHING if response is None else response for response in found]
    if any(dtype.hasobject for dtype in {response.dtype for response in kept}):
        raise TypeError("a logged response holds Python objects, which have no bytes to log")
    return kept
