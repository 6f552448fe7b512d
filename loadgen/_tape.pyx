"""What a run records: arrays laid out before it starts, written without the GIL.

Every page is touched when the arrays are made, so that the timed part meets no page fault.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from loadgen._platform cimport exchange

import numpy as np

STATUS = {"pending": PENDING, "taken": TAKEN, "done": DONE, "failed": FAILED}


cdef class Tape:
    """Times and states of the samples of a run; times in ns after its start, -1 for none.

    ``scheduled_ns``: int64[queries], or None for a closed loop, whose times it will record.
    ``logged``: bool[samples], whose responses are kept, or None.
    """

    def __cinit__(self, int64_t samples, int per_query, scheduled_ns, bound_ns, logged):
        self.per_query, self.bound_ns = per_query, bound_ns
        self.lateness_ns = np.empty(0, np.int32)
        self.scheduled_ns = np.empty(0, np.int64) if scheduled_ns is None else scheduled_ns
        self.taken_ns = self.completed_ns = np.empty(0, np.int64)
        self.statuses = np.empty(0, np.uint8)
        self.responses = None if logged is None else []
        self.lengthen(samples, logged)

    cdef lengthen(self, int64_t total, logged):
        """Make room for ``total`` samples and keep what is recorded."""
        def longer(array, int64_t length, fill):
            made = np.full(length, fill, array.dtype)
            made[: len(array)] = array
            return made

        self.scheduled_ns = longer(self.scheduled_ns, total // self.per_query, -1)
        self.taken_ns = longer(self.taken_ns, total, -1)
        self.completed_ns = longer(self.completed_ns, total, -1)
        self.statuses = longer(self.statuses, total, PENDING)
        self.lateness_ns = longer(self.lateness_ns, total // self.per_query, 0)
        cdef int64_t[::1] scheduled = self.scheduled_ns, taken = self.taken_ns
        cdef int64_t[::1] completed = self.completed_ns
        cdef int32_t[::1] lateness = self.lateness_ns
        cdef uint8_t[::1] status = self.statuses
        self.scheduled, self.taken, self.completed = &scheduled[0], &taken[0], &completed[0]
        self.lateness, self.status = &lateness[0], &status[0]
        self.total, self.logged = total, logged
        if logged is not None:
            self.responses += [None] * (total - len(self.responses))

    cdef void take(self, int64_t begin, int64_t end, int64_t at) noexcept nogil:
        """Samples ``begin`` to ``end`` were handed out."""
        cdef int64_t index
        for index in range(begin, end):
            self.taken[index] = at
            self.status[index] = TAKEN

    cdef void wake(self, int64_t late) noexcept nogil:
        """A take that had to wait woke ``late`` ns after the query's time."""
        self.lateness[self.waits] = <int32_t> min(late, <int64_t> 2147483647)
        self.waits += 1

    cdef int64_t answer(
        self, int64_t first, int64_t count, uint8_t state, int64_t at
    ) noexcept nogil:
        """Samples were answered at ``at``; how many of them were waiting for it.

        An answer that no taken sample waits for is counted and changes nothing.
        """
        cdef int64_t index, fresh = 0, over = 0
        cdef uint8_t before
        for index in range(first, first + count):
            if index < 0 or index >= self.total or self.status[index] == PENDING:
                self.unknown.fetch_add(1)
                continue
            before = exchange(&self.status[index], state)
            if before != TAKEN:
                exchange(&self.status[index], before)
                self.repeated.fetch_add(1)
                continue
            self.completed[index] = at
            fresh += 1
            over += at - self.scheduled[index // self.per_query] > self.bound_ns
        if over:
            self.over_bound.fetch_add(over)
        if state == DONE:
            self.done.fetch_add(fresh)
        else:
            self.failed.fetch_add(fresh)
        return fresh

    cdef keep(self, const int64_t[:] ids, outputs):
        """Copy the logged responses: the system under test may use its buffers again."""
        cdef Py_ssize_t i
        cdef const unsigned char[::1] logged = self.logged.view(np.uint8)
        if outputs is None or len(outputs) != ids.shape[0]:
            got = "none" if outputs is None else str(len(outputs))
            raise ValueError(f"a logged run needs {ids.shape[0]} responses, got {got}")
        for i in range(ids.shape[0]):
            if not 0 <= ids[i] < self.total or not logged[ids[i]]:
                continue
            if self.responses[ids[i]] is None:
                self.responses[ids[i]] = np.array(outputs[i])
