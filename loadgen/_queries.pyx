"""The passive core: a schedule, a cursor, and no thread of its own.

The workers of a system under test call ``Queries.take`` and ``Batch.complete``. All methods may
be called from many threads at once; waiting happens without the GIL. How queries come into being
is the subclasses' affair: ``_open`` by their schedule, ``_closed`` one after the other.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from loadgen._platform cimport NEVER, now_ns, sleep_until
from loadgen._tape cimport DONE, FAILED, Tape
from loadgen._traffic cimport Traffic

import traceback

import numpy as np

from loadgen._traffic import keeps_responses, logged

# How long a waiting thread sleeps before it looks whether the run was stopped.
cdef int64_t SLICE_NS = 20_000_000
# How long after ``start`` the first query is due, so that every taker can be asleep by then.
cdef int64_t LEAD_NS = 1_000_000


def _ns(bound_ms):
    return 2**62 if bound_ms is None else int(min(bound_ms * 1e6, 2**62))


cdef class Queries:
    """The queries of one loaded set, to be taken and answered.

    Times are int64 nanoseconds after the start on the monotonic clock.
    """

    def __cinit__(self, settings, Traffic traffic):
        self.settings, self.traffic = settings, traffic
        self.keeps_responses = keeps_responses(settings)
        self.per_query = traffic.samples_per_query
        self.spin_ns = int(settings.spin_us * 1e3)
        samples = len(traffic.sample_index)
        tokens = settings.use_token_latencies
        bound_ms = settings.ttft_bound_ms if tokens else settings.bound_ms
        self.tape = Tape(
            samples,
            self.per_query,
            traffic.scheduled_ns,
            _ns(bound_ms),
            self._logged(samples),
            tokens,
            _ns(settings.tpot_bound_ms),
        )
        self._point()

    cdef _point(self):
        cdef const int32_t[::1] samples = self.traffic.sample_index
        self.samples = &samples[0]

    def _logged(self, samples):
        return logged(self.settings, samples) if self.keeps_responses else None

    # --- for the system under test -------------------------------------------------------

    def take(self, Py_ssize_t max_samples=1, double max_wait_us=0.0):
        """Wait for the next query and claim up to ``max_samples`` samples of what is due.

        ``max_wait_us``: how long after its first query's time a batch that is not full may
        wait for more. Returns a ``Batch``, or None when the run is over.
        """
        cdef int64_t first = 0, count
        cdef int64_t wait_ns = <int64_t> (min(max_wait_us, 1e15) * 1e3)
        if max_samples < 1 or not max_wait_us >= 0:
            raise ValueError(f"{max_samples=} must be at least 1 and {max_wait_us=} at least 0")
        with nogil:
            count = self.claim(max_samples, wait_ns, &first)
        if count == 0:
            return None
        cdef Batch batch = Batch.__new__(Batch)
        batch.queries, batch.first, batch.count = self, first, count
        return batch

    def due(self, Py_ssize_t most=1):
        """How many samples, up to ``most``, could be taken now; other takers may be quicker.

        It lets a system choose a batch size, or keep a device busy before it answers.
        """
        cdef int64_t count
        with nogil:
            count = self._due(most) if self.started.load() and not self.stopped.load() else 0
        return count

    def first_tokens(self, ids, outputs=None):
        """Say that the first token of each of the samples ``ids`` (int64[k]) is there.

        ``outputs``: the tokens, kept (copied) where the settings log responses; may be left out.
        Without ``use_token_latencies`` it does nothing.
        """
        cdef int64_t now = now_ns()
        cdef int64_t[::1] view = np.ascontiguousarray(ids, dtype=np.int64)
        cdef Py_ssize_t i
        if self.tape.first_responses is not None and outputs is not None:
            self.tape.keep(view, outputs, self.tape.first_responses)
        with nogil:
            for i in range(view.shape[0]):
                self.begin(view[i], 1, now)

    def complete(self, ids, outputs=None, tokens=None):
        """Answer the samples ``ids`` (int64[k], of any taken batches, in any order).

        ``tokens``: int32[k], of how many each answer consists, where the settings ask for it.
        """
        cdef int64_t now = now_ns()
        cdef int64_t[::1] view = np.ascontiguousarray(ids, dtype=np.int64)
        cdef Py_ssize_t i
        self.tape.count_tokens(view, tokens)
        if self.keeps_responses:
            self.tape.keep(view, outputs, self.tape.responses)
        # Without the GIL: a closed loop may ask for it while it holds its monitor.
        with nogil:
            for i in range(view.shape[0]):
                self.finish(view[i], 1, DONE, now)

    def complete_one(self, int64_t id, output=None):
        """Answer the sample ``id``: as ``complete``, without making arrays where none is kept."""
        cdef int64_t now = now_ns()
        if self.keeps_responses:
            return self.complete([id], None if output is None else [output])
        with nogil:
            self.finish(id, 1, DONE, now)

    def abort(self, str error):
        """End the run now, because the system under test cannot go on; ``error`` says why."""
        if self._first_error is None:
            self._first_error = error
        self.stop()

    # --- for the runner ------------------------------------------------------------------

    def ready(self, int takers, double timeout_s):
        """Wait for ``takers`` threads to wait in ``take``, up to ``timeout_s``; whether they do."""
        cdef int64_t deadline = now_ns() + <int64_t> (timeout_s * 1e9)
        cdef bint came
        with nogil:
            self.monitor.lock()
            while self.waiting_takers < takers and now_ns() < deadline and not self.stopped.load():
                self.monitor.wait_ns(SLICE_NS)
            came = self.waiting_takers >= takers
            self.monitor.unlock()
        return came

    def start(self, int takers, double timeout_s):
        """Wait until ``takers`` threads wait in ``take``, then start the clock.

        Returns False if they did not come within ``timeout_s`` seconds.
        """
        if not self.ready(takers, timeout_s):
            return False
        start_together([self])
        return True

    def simulate(self):
        """Start on a virtual clock at 0, which stands still until a native system moves it."""
        self.virtual = True
        self.started.store(1)

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
        return self.time_ns() if self.started.load() else -1

    @property
    def counts(self):
        """Samples so far, by what became of them, as a dict."""
        return {
            "issued": self.cursor.load(),
            "completed": self.tape.done.load(),
            "failed": self.tape.failed.load(),
            "begun": self.tape.begun.load(),
            "over_bound": self.tape.over_bound.load(),
            "over_tpot": self.tape.over_tpot.load(),
            "repeated": self.tape.repeated.load(),
            "unknown": self.tape.unknown.load(),
            "after_end": self.after_end.load(),
        }

    @property
    def is_finished(self):
        """Whether every query was issued and answered."""
        return bool(self.finished.load())

    @property
    def has_more(self):
        """Whether ``take`` still hands out queries."""
        return not self.stopped.load() and not self.finished.load() and self._left()

    @property
    def first_error(self):
        """The traceback of the first failure, or None."""
        return self._first_error

    @property
    def arrays(self):
        """scheduled_ns [queries]; words of takes and of answers, sample_index [samples].

        Up to the last query issued. An answer's time is the word itself, if it is not negative.
        """
        cdef int64_t samples = self.cursor.load()
        cdef int64_t queries = -(-samples // self.per_query)
        return (
            self.tape.scheduled_ns[:queries],
            self.tape.take_words[:samples],
            self.tape.answer_words[:samples],
            self.traffic.sample_index[:samples],
        )

    @property
    def responses(self):
        """One response (or None) for each sample issued, in a run that logs them; else None."""
        return self.tape.responses[: self.cursor.load()] if self.keeps_responses else None

    @property
    def token_arrays(self):
        """first_token_ns (-1 for none) and token_count, [samples], and the first tokens kept.

        None in place of each that the settings do not ask for.
        """
        cdef int64_t samples = self.cursor.load()
        recorded = self.tape.first_token_ns, self.tape.token_count, self.tape.first_responses
        return tuple(None if array is None else array[:samples] for array in recorded)

    @property
    def apart_takes(self):
        """int64[k, 2]: gap and lateness of the takes whose words do not hold them."""
        return self.tape.apart_takes()

    # --- for native systems under test ---------------------------------------------------

    cdef int64_t claim(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        """As ``take``: sets ``first`` and returns how many samples follow, 0 at the end."""
        if not self.started.load():
            self._await_start()
        return self._take(most, wait_ns, first)

    cdef void finish(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil:
        """Samples were answered (DONE) or given up (FAILED) at ``at``, of ``now_ns()``."""
        if self.stopped.load():
            self.after_end.fetch_add(count)
        else:
            self._answer(first, count, state, at - self.start_ns)

    cdef int64_t next_due(self) noexcept nogil:
        """When ``claim`` has something to hand out; NEVER while that needs an answer."""
        return NEVER

    cdef void begin(self, int64_t first, int64_t count, int64_t at) noexcept nogil:
        """The first tokens of samples came at ``at``, of ``now_ns()``."""
        if self.tape.first_tokens == NULL or self.stopped.load():
            return
        # Held, because a closed loop may move its arrays while nothing is outstanding.
        self.monitor.lock()
        self.tape.first_token(first, count, at - self.start_ns)
        self.monitor.unlock()

    # --- for the subclasses --------------------------------------------------------------

    cdef int64_t time_ns(self) noexcept nogil:
        """The time since the start, real or virtual."""
        return self.virtual_ns if self.virtual else now_ns() - self.start_ns

    cdef int64_t _take(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil:
        return 0

    cdef int64_t _due(self, int64_t most) noexcept nogil:
        return 0

    cdef void _answer(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil:
        pass

    cdef int64_t _sleep(self, int64_t due, int64_t spin_ns) noexcept nogil:
        """Sleep until ``due`` or until the run is stopped; the time it then is."""
        cdef int64_t now = self.time_ns()
        if self.virtual:
            self.virtual_ns = max(now, due)
            return self.virtual_ns
        while now < due - spin_ns and not self.stopped.load():
            sleep_until(self.start_ns + min(due - spin_ns, now + SLICE_NS))
            now = self.time_ns()
        while now < due and not self.stopped.load():
            now = self.time_ns()
        return now

    cdef bint _left(self):
        return True

    cdef void _start(self, int64_t at) noexcept nogil:
        self.monitor.lock()
        self.start_ns = at
        self.started.store(1)
        self.monitor.notify_all()
        self.monitor.unlock()

    cdef void _end(self) noexcept nogil:
        self.monitor.lock()
        self.finished.store(1)
        self.monitor.notify_all()
        self.monitor.unlock()

    cdef void _await_start(self) noexcept nogil:
        self.monitor.lock()
        self.waiting_takers += 1
        self.monitor.notify_all()
        while not self.started.load() and not self.stopped.load():
            self.monitor.wait_ns(SLICE_NS)
        self.monitor.unlock()

    cdef _note(self, error):
        if self._first_error is None:
            self._first_error = (
                "".join(traceback.format_exception(error))
                if isinstance(error, BaseException)
                else str(error)
            )


def start_together(several):
    """Start the clocks of several ``Queries`` at one instant, a moment from now."""
    cdef int64_t at = now_ns() + LEAD_NS
    cdef Queries queries
    for queries in several:
        queries._start(at)


cdef class Batch:
    """Some samples of the run, claimed by one taker, to be completed or failed once."""

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

    def first_token(self, outputs=None):
        """Say that the first token of each sample is there (see ``Queries.first_tokens``)."""
        cdef int64_t now = now_ns()
        cdef Tape tape = self.queries.tape
        if tape.first_responses is not None and outputs is not None:
            tape.keep(self.ids, outputs, tape.first_responses)
        with nogil:
            self.queries.begin(self.first, self.count, now)

    def complete(self, outputs=None, tokens=None):
        """Answer the whole batch; ``outputs`` has one response for each sample.

        Responses are kept (copied) where the settings log them: all in accuracy mode.
        ``tokens``: int32[n], of how many each answer consists, where the settings ask for it.
        """
        cdef int64_t now = now_ns()
        cdef Tape tape = self.queries.tape
        if tokens is not None:
            tape.count_tokens(self.ids, tokens)
        if self.queries.keeps_responses:
            tape.keep(self.ids, outputs, tape.responses)
        with nogil:
            self.queries.finish(self.first, self.count, DONE, now)

    def fail(self, error):
        """Give the whole batch up: ``error`` is an exception or a text. The run is INVALID."""
        cdef int64_t now = now_ns()
        self.queries._note(error)
        with nogil:
            self.queries.finish(self.first, self.count, FAILED, now)
