"""The accuracy log: the bytes of the logged responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.log import RunLog
from loadgen.official.text import decimal, hexadecimal, joined_rows

Response = NDArray[Any]

BLOCK = 16384
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
    responses = _kept(log, ids.tolist())
    sizes = {response.nbytes for response in responses}
    if len(sizes) == 1 and 0 < (size := sizes.pop()) <= SHORT_BYTES:
        joined = b"".join(response.tobytes() for response in responses)
        data = hexadecimal(np.frombuffer(joined, np.uint8).reshape(len(ids), size))
        index = decimal(log.sample_index[ids])
        start, middle, end = b'{ "seq_id" : ', b', "qsl_idx" : ', b', "data" : "'
        rows = joined_rows(start, decimal(ids), middle, index, end, data, b'" },\n')
        yield rows[:-2] + b"\n" if last else rows
        return
    # Few or long rows, one at a time, so that only one is in memory as text.
    index_of = log.sample_index[ids].tolist()
    for place, (sample, response) in enumerate(zip(ids.tolist(), responses, strict=True)):
        row = f'{{ "seq_id" : {sample}, "qsl_idx" : {index_of[place]}, "data" : "'
        comma = "" if last and place == len(responses) - 1 else ","
        yield f'{row}{response.tobytes().hex().upper()}" }}{comma}\n'.encode()


def _kept(log: RunLog, ids: list[int]) -> list[Response]:
    assert log.responses is not None
    responses = [log.responses[sample] for sample in ids]
    kept = [response for response in responses if response is not None]
    if any(dtype.hasobject for dtype in {response.dtype for response in kept}):
        raise TypeError("a logged response holds Python objects, which have no bytes to log")
    return kept
