"""Closed loops: the next query exists once the last one is complete.

The thread that completes and takes again pays no hand-over.
"""

from libc.stdint cimport int64_t, uint8_t

from loadgen._platform cimport NEVER
from loadgen._queries cimport Queries
from loadgen._traffic cimport Traffic

import traceback

from loadgen.settings import Issue, Mode
from loadgen.statistics import early_stopping_count

cdef int64_t SLICE_NS = 20_000_000


cdef class ClosedLoop(Queries):
    """Single-stream and multi-stream: queries one after the other."""

    cdef int64_t outstanding, issued_queries, interval_ns, last_answer_ns
    cdef int64_t min_duration_ns, max_duration_ns, min_queries, max_queries
    cdef bint waited
    # A taker sleeps until the next query's time, without the monitor.
    cdef bint asleep

    def __init__(self, settings, Traffic traffic):
        queries = len(traffic.sample_index) // self.per_query
        self.interval_ns = int((settings.interval_ms or 0) * 1e6)
        self.min_duration_ns = int(settings.min_duration_ms * 1e6)
        self.min_queries = settings.min_query_count
        self.max_duration_ns = self.max_queries = NEVER
        if settings.max_duration_ms is not None:
            self.max_duration_ns = int(settings.max_duration_ms * 1e6)
        if settings.max_query_count is not None:
            self.max_queries = settings.max_query_count
        if settings.extend:
            least = early_stopping_count(1, settings.percentile, settings.confidence)
            self.min_queries = max(self.min_queries, least)
        if not traffic.endless:
            self.max_queries = min(self.max_queries, queries)
        # Equal issue is so only if all of it is issued.
        if settings.issue is Issue.EQUAL:
            self.min_queries = self.max_queries
        if settings.mode is Mode.ACCURACY:
            self.min_queries = self.max_queries = queries
            self.max_duration_ns = NEVER

    cdef int64_t _take(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        cdef int64_t now, count = 0
        self.monitor.lock()
        while not self.stopped.load() and not self.finished.load():
            # One clock read is the time a query is issued and the time it is taken.
            now = self.time_ns()
            if self.cursor.load() < self.issued_queries * self.per_query:
                count = self._claim(most, now, first)
                break
            if self.outstanding > 0 or self.asleep:
                self.monitor.wait_ns(SLICE_NS)
            elif self._over():
                self.finished.store(1)
                self.monitor.notify_all()
            else:
                now = self._issue(now)
                if not self.stopped.load():
                    count = self._claim(most, now, first)
                    break
        self.monitor.unlock()
        return count

    cdef int64_t _due(self, int64_t most) noexcept nogil:
        self.monitor.lock()
        cdef int64_t left = self.issued_queries * self.per_query - self.cursor.load()
        self.monitor.unlock()
        return min(most, left)

    cdef int64_t next_due(self) noexcept nogil:
        if self.cursor.load() < self.issued_queries * self.per_query:
            return self.tape.scheduled[self.issued_queries - 1]
        if self.outstanding > 0 or self.finished.load():
            return NEVER
        return self.time_ns()

    cdef bint _over(self) noexcept nogil:
        cdef int64_t query = self.issued_queries
        if query == 0:
            return False
        if query >= self.max_queries or self.tape.scheduled[query - 1] >= self.max_duration_ns:
            return True
        return (
            query >= self.min_queries and self.tape.scheduled[query - 1] >= self.min_duration_ns
        )

    cdef int64_t _issue(self, int64_t now) noexcept nogil:
        """Issue the next query, at once or on the next free tick; the time it then is."""
        cdef int64_t due, query = self.issued_queries
        if (query + 1) * self.per_query > self.tape.total:
            if not self._lengthen():
                return now
            now = self.time_ns()
        if query == 0:
            now = self._sleep_apart(0, 0)  # for the start
        due = now if query == 0 or self.interval_ns == 0 else self._tick(query)
        if now < due:
            self.waited = True
            now = self._sleep_apart(due, self.spin_ns)
        self.tape.scheduled[query] = due
        self.outstanding = self.per_query
        self.issued_queries = query + 1
        return now

    cdef int64_t _sleep_apart(self, int64_t due, int64_t spin_ns) noexcept nogil:
        """As ``_sleep``, and let others use the monitor meanwhile."""
        self.asleep = True
        self.monitor.unlock()
        cdef int64_t now = self._sleep(due, spin_ns)
        self.monitor.lock()
        self.asleep = False
        self.monitor.notify_all()
        return now

    cdef int64_t _tick(self, int64_t query) noexcept nogil:
        """The first tick of the interval after the last query at which none is outstanding."""
        cdef int64_t due
        due = self.tape.scheduled[query - 1] + self.interval_ns
        if self.last_answer_ns > due:
            due += -(-(self.last_answer_ns - due) // self.interval_ns) * self.interval_ns
        return due

    cdef bint _lengthen(self) noexcept with gil:
        """Double a closed loop's traffic. Nothing is outstanding, so arrays may move."""
        try:
            self.traffic.more(self.tape.total // self.per_query)
            self._point()
            samples = len(self.traffic.sample_index)
            self.tape.lengthen(samples, self._logged(samples))
            return True
        except Exception:
            self._first_error = self._first_error or traceback.format_exc()
            self.stopped.store(1)
            return False

    cdef int64_t _claim(self, int64_t most, int64_t now, int64_t* first) noexcept nogil:
        cdef int64_t begin = self.cursor.load()
        cdef int64_t end = begin + min(most, self.issued_queries * self.per_query - begin)
        cdef int64_t late = -1
        if self.waited:
            late = now - self.tape.scheduled[begin // self.per_query]
            self.waited = False
        self.tape.take(begin, end, now, late)
        first[0] = begin
        self.cursor.store(end)
        return end - begin

    cdef void _answer(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil:
        cdef int64_t fresh
        # Held, because a closed loop may move its arrays while nothing is outstanding.
        self.monitor.lock()
        fresh = self.tape.answer(first, count, state, at)
        self.outstanding -= fresh
        if fresh and self.outstanding == 0:
            self.last_answer_ns = at
            self.monitor.notify_all()
        self.monitor.unlock()
