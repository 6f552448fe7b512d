"""What a run records: arrays laid out before it starts, written without the GIL.

Every page is touched when the arrays are made, so that the timed part meets no page fault.
A sample takes 12 bytes besides its index, and a query 8 for its time:

An answer is one int64 word, which is replaced once: UNTAKEN, then OPEN, then the time of the
answer, >= 0, or its complement if the sample was given up.

A take is the uint32 word of its first sample (the others have 0): FIRST, WAITED if the taker had
to wait, and the ns since the take before. What does not fit there has APART for them and is kept
beside: a take a second or more after the last one, of which a run has few, and one that woke and
then gathered, whose lateness is not the time it was handed out at.

Where tokens are asked for, a sample takes 12 bytes more: the time of the first, and their number.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from loadgen._platform cimport replace_if

import numpy as np

STATUS = {"pending": PENDING, "taken": TAKEN, "done": DONE, "failed": FAILED}
UNTAKEN, OPEN = -(2**63), -(2**63) + 1
FIRST, WAITED, APART = 2**31, 2**30, 2**30 - 1

cdef int64_t _OPEN = OPEN, _UNTAKEN = UNTAKEN
cdef uint32_t _FIRST = FIRST, _WAITED = WAITED, _APART = APART


cdef class Tape:
    """Times and states of the samples of a run; times in ns after its start.

    ``scheduled_ns``: int64[queries], or None for a closed loop, whose times it will record.
    ``logged``: bool[samples], whose responses are kept, or None.
    ``tokens``: whether first tokens and token counts are recorded. ``bound_ns`` then is that of the
    first token, and ``tpot_bound_ns`` that of the time for each further one.
    """

    def __cinit__(
        self, int64_t samples, int per_query, scheduled_ns, bound_ns, logged, bint tokens=False,
        tpot_bound_ns=2**62,
    ):
        self.per_query, self.bound_ns, self.tpot_bound_ns = per_query, bound_ns, tpot_bound_ns
        self.first_token_ns = np.empty(0, np.int64) if tokens else None
        self.token_count = np.empty(0, np.int32) if tokens else None
        self.scheduled_ns = np.empty(0, np.int64) if scheduled_ns is None else scheduled_ns
        self.take_words = np.empty(0, np.uint32)
        self.answer_words = np.empty(0, np.int64)
        self.responses = None if logged is None else []
        self.first_responses = [] if tokens and logged is not None else None
        self.lengthen(samples, logged)

    cdef lengthen(self, int64_t total, logged):
        """Make room for ``total`` samples and keep what is recorded."""
        def longer(array, int64_t length, fill):
            if len(array) == length:
                return array
            made = np.full(length, fill, array.dtype)
            made[: len(array)] = array
            return made

        cdef int64_t queries = total // self.per_query
        self.scheduled_ns = longer(self.scheduled_ns, queries, -1)
        self.take_words = longer(self.take_words, total, 0)
        self.answer_words = longer(self.answer_words, total, UNTAKEN)
        cdef const int64_t[::1] scheduled = self.scheduled_ns
        cdef uint32_t[::1] takes = self.take_words
        cdef int64_t[::1] answers = self.answer_words
        self.scheduled = <int64_t*> &scheduled[0]
        self.takes, self.answers = &takes[0], &answers[0]
        self.total, self.logged = total, logged
        # Room that costs no memory before it is used.
        self.apart.reserve(queries)
        if logged is not None:
            self.responses += [None] * (total - len(self.responses))
        if self.first_responses is not None:
            self.first_responses += [None] * (total - len(self.first_responses))
        if self.first_token_ns is not None:
            self._lengthen_tokens(longer(self.first_token_ns, total, -1),
                                  longer(self.token_count, total, 0))

    cdef _lengthen_tokens(self, times, counts):
        cdef int64_t[::1] first_tokens = times
        cdef int32_t[::1] token_counts = counts
        self.first_token_ns, self.token_count = times, counts
        self.first_tokens, self.token_counts = &first_tokens[0], &token_counts[0]

    cdef void take(self, int64_t begin, int64_t end, int64_t at, int64_t late) noexcept nogil:
        """Samples ``begin`` to ``end`` were handed out at ``at``, in the order of time.

        ``late``: how long after the first one's time the taker woke, -1 if it did not wait.
        """
        cdef int64_t index, gap = at - self.last_take
        cdef uint32_t word = _FIRST if late < 0 else _FIRST | _WAITED
        cdef bint woke_then = late < 0 or at - late == self.scheduled[begin // self.per_query]
        if woke_then and 0 <= gap < _APART:
            word |= <uint32_t> gap
        else:
            word |= _APART
            self.apart.push_back(Apart(gap, late))
        self.last_take = at
        self.takes[begin] = word
        for index in range(begin, end):
            self.answers[index] = _OPEN

    cdef int64_t answer(
        self, int64_t first, int64_t count, uint8_t state, int64_t at
    ) noexcept nogil:
        """Samples were answered at ``at``; how many of them were waiting for it.

        An answer that no taken sample waits for is counted and changes nothing.
        """
        cdef int64_t index, before, fresh = 0, over = 0
        cdef int64_t word = at if state == DONE else ~at
        for index in range(first, first + count):
            before = _OPEN
            # Before the start nothing was taken.
            if index < 0 or index >= self.total or at < 0:
                self.unknown.fetch_add(1)
            elif replace_if(&self.answers[index], &before, word):
                fresh += 1
                if self.first_tokens != NULL:
                    self._hear(index, at)
                else:
                    over += at - self.scheduled[index // self.per_query] > self.bound_ns
            elif before == _UNTAKEN:
                self.unknown.fetch_add(1)
            else:
                self.repeated.fetch_add(1)
        if over:
            self.over_bound.fetch_add(over)
        if state == DONE:
            self.done.fetch_add(fresh)
        else:
            self.failed.fetch_add(fresh)
        return fresh

    cdef void first_token(self, int64_t first, int64_t count, int64_t at) noexcept nogil:
        """The first tokens of samples came at ``at``; only the first time counts.

        One for a sample that was never taken is counted as unknown.
        """
        cdef int64_t index, before, fresh = 0, over = 0
        for index in range(first, first + count):
            if index < 0 or index >= self.total or at < 0 or self.answers[index] == _UNTAKEN:
                self.unknown.fetch_add(1)
            elif self.answers[index] == _OPEN:
                before = -1
                if replace_if(&self.first_tokens[index], &before, at):
                    fresh += 1
                    over += at - self.scheduled[index // self.per_query] > self.bound_ns
        self.begun.fetch_add(fresh)
        self.over_bound.fetch_add(over)

    cdef void _hear(self, int64_t index, int64_t at) noexcept nogil:
        """An answer came at ``at``: tokens that were never told of are later than any bound."""
        cdef int64_t begun = self.first_tokens[index]
        cdef int64_t further = self.token_counts[index] - 1
        if begun < 0:
            self.begun.fetch_add(1)
            self.over_bound.fetch_add(1)
        if begun < 0 or further < 1 or (at - begun) // further > self.tpot_bound_ns:
            self.over_tpot.fetch_add(1)

    cdef int64_t late(self) noexcept nogil:
        """Samples over their bound so far; of two bounds, over the one that more are over."""
        return max(self.over_bound.load(), self.over_tpot.load())

    cdef int64_t late_at_most(self, int64_t issued) noexcept nogil:
        """The same once ``issued`` are answered, if all that is still to come is late."""
        cdef int64_t answered = self.done.load() + self.failed.load()
        cdef int64_t begun = answered if self.first_tokens == NULL else self.begun.load()
        return max(self.over_bound.load() + issued - begun,
                   self.over_tpot.load() + issued - answered)

    cdef count_tokens(self, const int64_t[:] ids, tokens):
        """Note of how many tokens each answer that is about to be given consists."""
        cdef Py_ssize_t i
        if self.first_token_ns is None or tokens is None:
            return
        given = np.asarray(tokens)
        if given.shape != (ids.shape[0],) or (len(given) and given.dtype.kind not in "iu"):
            raise ValueError(f"tokens: expected {ids.shape[0]} integers, got {tokens!r:.60}")
        if len(given) and not 0 <= given.min() <= given.max() < 2**31:
            raise ValueError(f"tokens: they are counted in 31 bits, got {tokens!r:.60}")
        cdef const int32_t[::1] counts = np.ascontiguousarray(given, np.int32)
        for i in range(ids.shape[0]):
            self.count_token(ids[i], counts[i])

    cdef void count_token(self, int64_t index, int32_t tokens) noexcept nogil:
        """As ``count_tokens``, of one sample."""
        if self.token_counts != NULL and 0 <= index < self.total:
            if self.answers[index] == _OPEN:
                self.token_counts[index] = tokens

    cdef keep(self, const int64_t[:] ids, outputs, list responses):
        """Copy the logged ones: the system under test may use its buffers again."""
        cdef Py_ssize_t i
        cdef const unsigned char[::1] logged = self.logged.view(np.uint8)
        if outputs is None or len(outputs) != ids.shape[0]:
            got = "none" if outputs is None else str(len(outputs))
            raise ValueError(f"a logged run needs {ids.shape[0]} responses, got {got}")
        for i in range(ids.shape[0]):
            if not 0 <= ids[i] < self.total or not logged[ids[i]]:
                continue
            if responses[ids[i]] is None:
                responses[ids[i]] = np.array(outputs[i])

    cdef apart_takes(self):
        """int64[k, 2]: gap and lateness of the takes that have APART, in their order."""
        cdef size_t i
        cdef int64_t[:, ::1] rows = np.empty((self.apart.size(), 2), np.int64)
        for i in range(self.apart.size()):
            rows[i, 0], rows[i, 1] = self.apart[i].gap, self.apart[i].late
        return np.asarray(rows)


def played(scheduled_ns, int per_query, takes, answers):
    """The words and apart takes that these leave on a tape, and its counts (for tests).

    ``takes``: (begin, end, at, late); ``answers``: (first, count, failed, at).
    """
    cdef Tape tape = Tape(len(scheduled_ns) * per_query, per_query, scheduled_ns, 2**62, None)
    for begin, end, at, late in takes:
        tape.take(begin, end, at, late)
    for first, count, failed, at in answers:
        tape.answer(first, count, FAILED if failed else DONE, at)
    counts = tape.done.load(), tape.failed.load(), tape.repeated.load(), tape.unknown.load()
    return tape.take_words, tape.apart_takes(), tape.answer_words, counts
