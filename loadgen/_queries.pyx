"""The passive core: a schedule, a cursor, and no thread of its own.

The workers of a system under test call ``Queries.take`` and ``Batch.complete``. A query of an
open loop exists from its scheduled time on, whoever is ready to take it, so its latency counts
from then and no stall of the system is hidden. All methods may be called from many threads at
once; waiting happens without the GIL.
"""

from libc.stdint cimport int64_t, uint8_t
from libcpp.atomic cimport atomic

from loadgen._platform cimport Monitor, now_ns, sleep_until
from loadgen._tape cimport DONE, FAILED, Tape
from loadgen._traffic cimport Traffic

import traceback

import numpy as np

from loadgen._traffic import keeps_responses, logged
from loadgen.settings import Mode

# How long a waiting thread sleeps before it looks whether the run was stopped.
cdef int64_t SLICE_NS = 20_000_000
# How long after ``start`` the first query is due, so that every taker can be asleep by then.
cdef int64_t LEAD_NS = 1_000_000


cdef class Queries:
    """The queries of one loaded set, to be taken and answered.

    Times are int64 nanoseconds after the start on the monotonic clock.
    """

    cdef readonly object settings
    cdef readonly Traffic traffic
    cdef Tape tape
    cdef Monitor monitor, turn
    cdef atomic[int] started, stopped, finished
    cdef atomic[int64_t] cursor, after_end
    cdef bint closed_loop, keeps_responses
    cdef int64_t start_ns, per_query, outstanding, issued_queries, waiting_takers, spin_ns
    cdef int64_t min_duration_ns, max_duration_ns, min_queries, max_queries
    cdef object _first_error

    def __cinit__(self, settings, Traffic traffic):
        self.settings, self.traffic = settings, traffic
        self.closed_loop = traffic.scheduled_ns is None
        self.keeps_responses = keeps_responses(settings)
        self.per_query = traffic.samples_per_query
        samples = len(traffic.sample_index)
        bound_ns = int((settings.bound_ms or 9e12) * 1e6)
        self.tape = Tape(
            samples, self.per_query, traffic.scheduled_ns, bound_ns, self._logged(samples)
        )
        self.min_duration_ns = int(settings.min_duration_ms * 1e6)
        self.max_duration_ns = int((settings.max_duration_ms or 9e12) * 1e6)
        self.min_queries = settings.min_query_count
        self.max_queries = settings.max_query_count or 2**62
        self.spin_ns = int(settings.spin_us * 1e3)
        if self.closed_loop and not traffic.endless:
            self.max_queries = min(self.max_queries, samples // self.per_query)
        if settings.mode is Mode.ACCURACY:
            self.min_queries = self.max_queries = samples // self.per_query
            self.min_duration_ns = 0
            self.max_duration_ns = 2**62

    # --- for the system under test -------------------------------------------------------

    def take(self, Py_ssize_t max_samples=1, double max_wait_us=0.0):
        """Wait for the next query and claim up to ``max_samples`` samples of what is due.

        ``max_wait_us``: how long after its first query's time a batch that is not full may
        wait for more. Returns a ``Batch``, or None when the run is over.
        """
        cdef int64_t first = 0, count
        cdef int64_t wait_ns = <int64_t> (max_wait_us * 1e3)
        if max_samples < 1:
            raise ValueError(f"max_samples={max_samples}: it must be at least 1")
        with nogil:
            count = self._take(max_samples, wait_ns, &first)
        if count == 0:
            return None
        cdef Batch batch = Batch.__new__(Batch)
        batch.queries, batch.first, batch.count = self, first, count
        return batch

    def complete(self, ids, outputs=None):
        """Answer the samples ``ids`` (int64[k], of any taken batches, in any order)."""
        cdef int64_t now = now_ns()
        cdef int64_t[::1] view = np.ascontiguousarray(ids, dtype=np.int64)
        cdef Py_ssize_t i
        if self.keeps_responses:
            self.tape.keep(view, outputs)
        for i in range(view.shape[0]):
            self._finish(view[i], 1, DONE, now)

    def abort(self, str error):
        """End the run now, because the system under test cannot go on; ``error`` says why."""
        if self._first_error is None:
            self._first_error = error
        self.stop()

    # --- for the runner ------------------------------------------------------------------

    def start(self, int takers, double timeout_s):
        """Wait until ``takers`` threads wait in ``take``, then start the clock.

        Returns False if they did not come within ``timeout_s`` seconds.
        """
        cdef int64_t deadline = now_ns() + <int64_t> (timeout_s * 1e9)
        with nogil:
            self.monitor.lock()
            while self.waiting_takers < takers and now_ns() < deadline and not self.stopped.load():
                self.monitor.wait_ns(SLICE_NS)
            if self.waiting_takers >= takers:
                self.start_ns = now_ns() + LEAD_NS
                self.started.store(1)
                self.monitor.notify_all()
            self.monitor.unlock()
        return bool(self.started.load())

    def wait(self, double seconds):
        """Wait until the run is over, for at most ``seconds``; whether it is."""
        cdef int64_t deadline = now_ns() + <int64_t> (seconds * 1e9)
        cdef int64_t left
        with nogil:
            self.monitor.lock()
            while not self.finished.load() and not self.stopped.load():
                left = deadline - now_ns()
                if left <= 0:
                    break
                self.monitor.wait_ns(left)
            self.monitor.unlock()
        return bool(self.finished.load() or self.stopped.load())

    def stop(self):
        """End the run now: no further query is handed out and no later answer is counted."""
        with nogil:
            self.stopped.store(1)
            self.monitor.lock()
            self.monitor.notify_all()
            self.monitor.unlock()

    @property
    def elapsed_ns(self):
        """Time since the start, negative before it."""
        return now_ns() - self.start_ns if self.started.load() else -1

    @property
    def counts(self):
        """Samples so far, by what became of them, as a dict."""
        return {
            "issued": self.cursor.load(),
            "completed": self.tape.done.load(),
            "failed": self.tape.failed.load(),
            "over_bound": self.tape.over_bound.load(),
            "repeated": self.tape.repeated.load(),
            "unknown": self.tape.unknown.load(),
            "after_end": self.after_end.load(),
        }

    @property
    def is_finished(self):
        """Whether every query was issued and answered."""
        return bool(self.finished.load())

    @property
    def first_error(self):
        """The traceback of the first failure, or None."""
        return self._first_error

    @property
    def arrays(self):
        """scheduled_ns [queries], taken_ns, completed_ns, status, sample_index [samples].

        Up to the last query issued; -1 where there is no time yet.
        """
        cdef int64_t samples = self.cursor.load()
        cdef int64_t queries = -(-samples // self.per_query)
        return (
            self.tape.scheduled_ns[:queries],
            self.tape.taken_ns[:samples],
            self.tape.completed_ns[:samples],
            self.tape.statuses[:samples],
            self.traffic.sample_index[:samples],
        )

    @property
    def responses(self):
        """One response (or None) for each sample issued, in a run that logs them; else None."""
        return self.tape.responses[: self.cursor.load()] if self.keeps_responses else None

    @property
    def lateness_ns(self):
        """int32[w]: for each take that had to wait, how late it woke (at most 2.1 s)."""
        return self.tape.lateness_ns[: self.tape.waits]

    # --- taking --------------------------------------------------------------------------

    cdef int64_t _take(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        if not self.started.load():
            self._await_start()
        if self.closed_loop:
            return self._take_closed(most, first)
        return self._take_open(most, wait_ns, first)

    cdef void _await_start(self) noexcept nogil:
        self.monitor.lock()
        self.waiting_takers += 1
        self.monitor.notify_all()
        while not self.started.load() and not self.stopped.load():
            self.monitor.wait_ns(SLICE_NS)
        self.monitor.unlock()

    cdef int64_t _take_open(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        # One taker at a time: the others queue for its turn, so a batch is contiguous.
        self.turn.lock()
        cdef int64_t begin = self.cursor.load()
        cdef int64_t count = 0
        if begin < self.tape.total and not self.stopped.load():
            count = self._gather(begin, most, wait_ns)
        first[0] = begin
        self.turn.unlock()
        return count

    cdef int64_t _gather(self, int64_t begin, int64_t most, int64_t wait_ns) noexcept nogil:
        cdef int64_t due = self.tape.scheduled[begin // self.per_query]
        cdef int64_t now = now_ns() - self.start_ns
        cdef int64_t end = min(self.tape.total, begin + most)
        cdef int64_t upto, deadline
        if now < due:
            now = self._sleep(due, self.spin_ns)
            if now < due:
                return 0
            self.tape.wake(now - due)
        upto = self._due_end(begin, end, now)
        deadline = due + wait_ns
        while upto < end and now < deadline and not self.stopped.load():
            now = self._sleep(min(deadline, self.tape.scheduled[upto // self.per_query]), 0)
            upto = self._due_end(upto, end, now)
        self.tape.take(begin, upto, now)
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

    cdef int64_t _sleep(self, int64_t due, int64_t spin_ns) noexcept nogil:
        """Sleep until ``due`` or until the run is stopped; the time it then is."""
        cdef int64_t now = now_ns() - self.start_ns
        while now < due - spin_ns and not self.stopped.load():
            sleep_until(self.start_ns + min(due - spin_ns, now + SLICE_NS))
            now = now_ns() - self.start_ns
        while now < due and not self.stopped.load():
            now = now_ns() - self.start_ns
        return now

    cdef int64_t _take_closed(self, int64_t most, int64_t* first) noexcept nogil:
        cdef int64_t count = 0
        self.monitor.lock()
        while not self.stopped.load() and not self.finished.load():
            if self.cursor.load() < self.issued_queries * self.per_query:
                count = self._claim(most, first)
                break
            if self.outstanding > 0:
                self.monitor.wait_ns(SLICE_NS)
            elif self._over():
                self.finished.store(1)
                self.monitor.notify_all()
            else:
                self._issue()
        self.monitor.unlock()
        return count

    cdef bint _over(self) noexcept nogil:
        cdef int64_t query = self.issued_queries
        if query == 0:
            return False
        if query >= self.max_queries or now_ns() - self.start_ns >= self.max_duration_ns:
            return True
        return (
            query >= self.min_queries and self.tape.scheduled[query - 1] >= self.min_duration_ns
        )

    cdef void _issue(self) noexcept nogil:
        cdef int64_t query = self.issued_queries
        if (query + 1) * self.per_query > self.tape.total and not self._lengthen():
            return
        # The first query waits for the start; each later one follows at once.
        self.tape.scheduled[query] = self._sleep(0, 0)
        self.outstanding = self.per_query
        self.issued_queries = query + 1

    cdef bint _lengthen(self) noexcept with gil:
        """Double a closed loop's traffic. Nothing is outstanding, so arrays may move."""
        try:
            self.traffic.more(self.tape.total // self.per_query)
            samples = len(self.traffic.sample_index)
            self.tape.lengthen(samples, self._logged(samples))
            return True
        except Exception:
            self._first_error = self._first_error or traceback.format_exc()
            self.stopped.store(1)
            return False

    cdef int64_t _claim(self, int64_t most, int64_t* first) noexcept nogil:
        cdef int64_t begin = self.cursor.load()
        cdef int64_t end = min(self.issued_queries * self.per_query, begin + most)
        self.tape.take(begin, end, now_ns() - self.start_ns)
        first[0] = begin
        self.cursor.store(end)
        return end - begin

    # --- answering -----------------------------------------------------------------------

    cdef void _finish(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil:
        at -= self.start_ns
        if self.stopped.load():
            self.after_end.fetch_add(count)
        elif self.closed_loop:
            # Held, because a closed loop may move its arrays while nothing is outstanding.
            self.monitor.lock()
            self.outstanding -= self.tape.answer(first, count, state, at)
            if self.outstanding == 0:
                self.monitor.notify_all()
            self.monitor.unlock()
        else:
            self.tape.answer(first, count, state, at)
            if self.tape.done.load() + self.tape.failed.load() == self.tape.total:
                self.monitor.lock()
                self.finished.store(1)
                self.monitor.notify_all()
                self.monitor.unlock()

    def _logged(self, samples):
        return logged(self.settings, samples) if self.keeps_responses else None

    cdef _note(self, error):
        if self._first_error is None:
            self._first_error = (
                "".join(traceback.format_exception(error))
                if isinstance(error, BaseException)
                else str(error)
            )


cdef class Batch:
    """Some samples of the run, claimed by one taker, to be completed or failed once."""

    cdef readonly Queries queries
    cdef int64_t first, count

    def __len__(self):
        return self.count

    @property
    def ids(self):
        """int64[n]: what identifies each sample within the run."""
        return np.arange(self.first, self.first + self.count)

    @property
    def indices(self):
        """int32[n]: which sample of the library each one is (a view)."""
        return self.queries.traffic.sample_index[self.first : self.first + self.count]

    def complete(self, outputs=None):
        """Answer the whole batch; ``outputs`` has one response for each sample.

        Responses are kept (copied) where the settings log them: all in accuracy mode.
        """
        cdef int64_t now = now_ns()
        if self.queries.keeps_responses:
            self.queries.tape.keep(self.ids, outputs)
        with nogil:
            self.queries._finish(self.first, self.count, DONE, now)

    def fail(self, error):
        """Give the whole batch up: ``error`` is an exception or a text. The run is INVALID."""
        cdef int64_t now = now_ns()
        self.queries._note(error)
        with nogil:
            self.queries._finish(self.first, self.count, FAILED, now)
