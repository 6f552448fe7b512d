"""The timed part: queries handed to the user's callback, and completions from any thread."""

from __future__ import annotations

import ctypes
import itertools
import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from loadgen._queries import Queries
from loadgen._traffic import keeps_responses, logged
from loadgen.mlperf.handles import System
from loadgen.mlperf.samples import QuerySample, QuerySampleResponse

logger = logging.getLogger("loadgen.mlperf")

ResponseCallback = Callable[[QuerySampleResponse], object]
# An id is the number of its loaded set, counted over the whole process, and a place in it.
SET_BITS = 40
SET_SIZE = 2**SET_BITS
_set_numbers = itertools.count(1)


class Serving:
    """One loaded set's queries while they are asked.

    ``calling``: whether the user's callback is running now. ``first_tokens``: how many answers
    have begun.
    """

    def __init__(self, queries: Queries, system: System) -> None:
        self.queries, self.system = queries, system
        self.first_id = next(_set_numbers) << SET_BITS
        self.calling = False
        self.first_tokens = 0
        self.keeps = keeps_responses(queries.settings)
        self.tokens = queries.settings.use_token_latencies
        self.plain = not self.keeps and not self.tokens
        self._logged: NDArray[np.bool_] = np.empty(0, np.bool_)

    def ask(self, most: int, limit: int) -> None:
        """Hand queries of up to ``most`` samples over until there are none, then flush.

        ``limit``: how many samples may be unanswered, 0 for any number.
        """
        queries, issue, fast = self.queries, self.system.issue, self.system.fast
        index = queries.traffic.sample_index.data
        place, offset = 0, self.first_id
        while (batch := queries.take(most)) is not None:
            count = len(batch)
            if place + count > len(index):
                index = queries.traffic.sample_index.data
            if limit and self._unanswered() > limit:
                queries.abort(f"server_max_async_queries={limit}: more are unanswered")
                break
            self.calling = True
            if count == 1:
                if fast:
                    issue([offset + place], [index[place]])
                else:
                    issue([QuerySample(offset + place, index[place])])
            else:
                ids = range(offset + place, offset + place + count)
                indices = index[place : place + count].tolist()
                if fast:
                    issue(list(ids), indices)
                else:
                    issue(list(map(QuerySample, ids, indices)))
            self.calling = False
            place += count
        self.calling = True
        self.system.flush()
        self.calling = False

    def complete(
        self, responses: Sequence[QuerySampleResponse], callback: ResponseCallback | None
    ) -> None:
        """Answer the samples of ``responses``, whatever their number."""
        places = self._places(responses)
        outputs = self._outputs(responses, places, callback) if self.keeps else None
        self.queries.complete(places, outputs, self._counts(responses, places))

    def first_token(
        self, responses: Sequence[QuerySampleResponse], callback: ResponseCallback | None
    ) -> None:
        """Note when the first token of each sample of ``responses`` came."""
        self.first_tokens += len(responses)
        if self.tokens:
            places = self._places(responses)
            outputs = self._outputs(responses, places, callback) if self.keeps else None
            self.queries.first_tokens(places, outputs)

    def _counts(
        self, responses: Sequence[QuerySampleResponse], places: NDArray[np.int64]
    ) -> list[int] | None:
        if not self.tokens:
            return None
        # What is no number of tokens is none.
        counts = {r.id - self.first_id: r.n_tokens if r.n_tokens > 0 else 0 for r in responses}
        return [counts.get(place, 0) for place in places.tolist()]

    def _places(self, responses: Sequence[QuerySampleResponse]) -> NDArray[np.int64]:
        ids = [response.id for response in responses]
        try:
            places = np.array(ids, np.int64) - self.first_id
            if ((places >= 0) & (places < SET_SIZE)).all():
                return places
        except OverflowError:
            pass
        stale = [i for i in ids if 0 < i >> SET_BITS < self.first_id >> SET_BITS]
        if stale:
            logger.warning("ignored answers to samples of an earlier run, ids %s", stale[:5])
            dropped = set(stale)
            ids = [i for i in ids if i not in dropped]
        # Any id that was never issued becomes -1, which the run counts as unknown.
        return np.array(
            [i - self.first_id if 0 <= i - self.first_id < SET_SIZE else -1 for i in ids],
            np.int64,
        )

    def _outputs(
        self,
        responses: Sequence[QuerySampleResponse],
        places: NDArray[np.int64],
        callback: ResponseCallback | None,
    ) -> list[NDArray[np.uint8] | None]:
        """Bytes of the responses that the run keeps, None for the rest; [len(places)]."""
        by_place = {response.id - self.first_id: response for response in responses}
        outputs: list[NDArray[np.uint8] | None] = []
        for place in places.tolist():
            response = by_place.get(place)
            if response is None or not self._wanted(place):
                outputs.append(None)
                continue
            if callback is not None:
                callback(response)
            data = ctypes.string_at(response.data, response.size) if response.size else b""
            outputs.append(np.frombuffer(data, np.uint8))
        return outputs

    def _wanted(self, place: int) -> bool:
        samples = len(self.queries.traffic.sample_index)
        if place >= len(self._logged):
            self._logged = logged(self.queries.settings, samples)
        return place < samples and bool(self._logged[place])

    def _unanswered(self) -> int:
        counts = self.queries.counts
        return counts["issued"] - counts["completed"] - counts["failed"]


current: Serving | None = None


def QuerySamplesComplete(
    responses: Sequence[QuerySampleResponse], response_cb: ResponseCallback | None = None
) -> None:
    """Answer samples, of any queries, from any thread.

    ``response_cb`` is called with each response whose bytes are kept, before they are copied.
    Raises TypeError for anything but responses.
    """
    serving = current
    if serving is None:
        if len(responses):
            logger.warning("ignored %d answers that came while no test ran", len(responses))
        return
    try:
        if serving.plain and len(responses) == 1:
            place = responses[0].id - serving.first_id
            if 0 <= place < SET_SIZE:
                serving.queries.complete_one(place)
                return
        serving.complete(responses, response_cb)
    except AttributeError as error:
        raise TypeError("QuerySamplesComplete: expected a list of QuerySampleResponse") from error


def FirstTokenComplete(
    responses: Sequence[QuerySampleResponse], response_cb: ResponseCallback | None = None
) -> None:
    """Say that the first token of samples is there; without use_token_latencies, nothing.

    ``response_cb`` is called with each response whose bytes are kept, before they are copied.
    """
    serving = current
    if serving is not None and len(responses):
        serving.first_token(responses, response_cb)
