"""Open loops: a query exists from its scheduled time on, whoever is ready to take it.

Latency counts from that time, so no stall of the system is hidden.
"""

from libc.stdint cimport int64_t, uint8_t
from libcpp.atomic cimport atomic

from loadgen._platform cimport NEVER, Monitor
from loadgen._queries cimport Queries
from loadgen._traffic cimport Traffic

from loadgen.statistics import needed_queries


cdef class OpenLoop(Queries):
    """Server and offline: queries by a schedule."""

    cdef Monitor turn
    # The run ends before this sample; one that extends itself moves it. Atomic, because who gives
    # the last answer and who ends the extension must not both miss that the run is over.
    cdef atomic[int64_t] limit
    cdef atomic[int] extends

    def __init__(self, settings, Traffic traffic):
        samples = len(traffic.sample_index)
        cdef int64_t limit = (traffic.least_queries or samples // self.per_query) * self.per_query
        self.limit.store(limit)
        self.extends.store(limit < samples)

    cdef int64_t _take(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        # One taker at a time: the others queue for its turn, so a batch is contiguous.
        self.turn.lock()
        cdef int64_t begin = self.cursor.load()
        cdef int64_t count = 0
        if begin >= self.limit.load() and self.extends.load():
            self._extend(begin)
        if begin < self.limit.load() and not self.stopped.load():
            count = self._gather(begin, most, wait_ns)
        first[0] = begin
        self.turn.unlock()
        return count

    cdef int64_t _due(self, int64_t most) noexcept nogil:
        cdef int64_t begin = self.cursor.load()
        return self._due_end(begin, self._end_of(begin, most), self.time_ns()) - begin

    cdef int64_t _end_of(self, int64_t begin, int64_t most) noexcept nogil:
        """Where ``most`` samples from ``begin`` on end, or the run."""
        return begin + min(most, self.limit.load() - begin)

    cdef int64_t _gather(self, int64_t begin, int64_t most, int64_t wait_ns) noexcept nogil:
        cdef int64_t due = self.tape.scheduled[begin // self.per_query]
        cdef int64_t now = self.time_ns()
        cdef int64_t end = self._end_of(begin, most)
        cdef int64_t upto, deadline, late = -1
        if now < due:
            now = self._sleep(due, self.spin_ns)
            if now < due:
                return 0
            late = now - due
        upto = self._due_end(begin, end, now)
        deadline = due + min(wait_ns, NEVER)
        while upto < end and now < deadline and not self.stopped.load():
            now = self._sleep(min(deadline, self.tape.scheduled[upto // self.per_query]), 0)
            upto = self._due_end(upto, end, now)
        self.tape.take(begin, upto, now, late)
        self.cursor.store(upto)
        return upto - begin

    cdef int64_t _due_end(self, int64_t begin, int64_t end, int64_t now) noexcept nogil:
        """The first sample from ``begin`` on that is not due at ``now``, at most ``end``."""
        cdef int64_t query
        while begin < end:
            query = begin // self.per_query
            if self.tape.scheduled[query] > now:
                break
            begin = min(end, (query + 1) * self.per_query)
        return begin

    cdef void _extend(self, int64_t begin) noexcept nogil:
        """At the limit: move it as far as the early-stopping test needs, or end there."""
        cdef int64_t late, most, needed
        # The next query would be due then: as many answers as can be are known.
        self._sleep(self.tape.scheduled[begin // self.per_query], 0)
        late, most = self.tape.late(), self.tape.late_at_most(begin)
        with gil:
            needed = needed_queries(self.settings, begin, late, most)
        needed = min(self.tape.total, max(begin, needed))
        self.limit.store(needed)
        if needed == begin or needed == self.tape.total:
            self.extends.store(False)
            self._end_if_answered()

    cdef void _answer(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil:
        self.tape.answer(first, count, state, at)
        self._end_if_answered()

    cdef int64_t next_due(self) noexcept nogil:
        cdef int64_t begin = self.cursor.load()
        if begin < self.limit.load() or self.extends.load():
            return self.tape.scheduled[begin // self.per_query]
        return NEVER

    cdef bint _left(self):
        return self.cursor.load() < self.limit.load() or self.extends.load()

    cdef void _end_if_answered(self) noexcept nogil:
        if self.extends.load():
            return
        if self.tape.done.load() + self.tape.failed.load() == self.limit.load():
            self._end()
