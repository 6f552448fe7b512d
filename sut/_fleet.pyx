"""A fleet of simulated workers on the virtual clock of a run: its events, in their order."""

from libc.math cimport M_PI, floor, sin
from libc.stdint cimport int32_t, int64_t
from libcpp.algorithm cimport upper_bound
from libcpp.pair cimport pair
from libcpp.queue cimport priority_queue
from libcpp.vector cimport vector

from loadgen._platform cimport NEVER
from loadgen._queries cimport Queries
from loadgen._tape cimport DONE, FAILED

# How many batches' chances are drawn at once.
BLOCK = 1 << 16


cdef struct Answer:
    int64_t first, count
    bint failed, begins


cdef class Fleet:
    """``workers`` that serve batches, each in ``times_ns[size - 1]`` (int64), or by ``pace``.

    ``chances``: draws as many batches' fortunes as it is asked for: float64 factors of the service
    time, int64 additions in ns, uint8 outcomes (0 answered, 1 failed, 2 lost).
    ``pace``: clocks by which batches are served (``sut.trace.Pace``), None for times alone; they go
    on from run to run.
    ``network_ns``: there and back. ``drift``, ``drift_period_ns``: a sine on the service time,
    which goes on from run to run. ``tokens``, int32[k]: of how many each answer is, by the sample's
    index modulo k; None for answers that come at once. The service time then is that until the
    first token of all, and ``token_ns[size - 1]`` (int64) that of each further one; a worker is
    free after the longest answer.
    """

    cdef int64_t[::1] times_ns
    cdef int64_t[::1] token_ns
    cdef const int32_t[::1] tokens
    cdef int64_t workers, wait_ns, network_ns, drift_period_ns, age_ns
    cdef double drift
    cdef object chances
    cdef double[::1] factors
    cdef int64_t[::1] additions
    cdef unsigned char[::1] outcomes
    cdef Py_ssize_t used
    cdef bint paced
    cdef const int64_t[::1] clock_first, clock_at, offsets
    cdef const double[::1] clock_done, work
    cdef const int32_t[::1] clock
    cdef int64_t period_ns
    # Times are negative: these queues give out the largest first.
    cdef priority_queue[pair[int64_t, int64_t]] free
    cdef priority_queue[pair[int64_t, int64_t]] flying
    cdef vector[Answer] answers
    cdef vector[int64_t] unused

    def __init__(
        self, times_ns, chances, int64_t workers, int64_t wait_ns, int64_t network_ns,
        double drift, int64_t drift_period_ns, tokens=None, token_ns=None, pace=None,
    ):
        self.times_ns, self.chances, self.workers = times_ns, chances, workers
        self.wait_ns, self.network_ns = wait_ns, network_ns
        self.drift, self.drift_period_ns = drift, drift_period_ns
        self.tokens, self.token_ns = tokens, token_ns
        self.paced = pace is not None
        if self.paced:
            self.clock_first, self.clock_at, self.clock_done = pace.first, pace.at_ns, pace.done
            self.clock, self.work = pace.clock, pace.work
            self.offsets, self.period_ns = pace.offsets_ns, pace.period_ns
        self._draw()

    def reset(self, int64_t elapsed_ns):
        """Get ready for a run: all idle. The last one took ``elapsed_ns``, for drift and pace."""
        self.age_ns += elapsed_ns
        self.free = priority_queue[pair[int64_t, int64_t]]()
        self.flying = priority_queue[pair[int64_t, int64_t]]()
        self.answers.clear()
        self.unused.clear()
        for worker in range(self.workers):
            self.free.push(pair[int64_t, int64_t](0, worker))

    def advance(self, Queries queries, int64_t until_ns):
        """Everything that happens until ``until_ns``."""
        cdef int64_t begin, answered
        with nogil:
            while not queries.finished.load():
                answered = -self.flying.top().first if self.flying.size() else NEVER
                begin = max(-self.free.top().first, queries.next_due())
                if min(begin, answered) > until_ns:
                    queries.virtual_ns = until_ns
                    break
                if answered <= begin:
                    self._answer(queries, answered)
                else:
                    self._serve(queries, begin)

    cdef void _answer(self, Queries queries, int64_t at) noexcept nogil:
        cdef int64_t place = self.flying.top().second
        cdef Answer answer = self.answers[place]
        self.flying.pop()
        self.unused.push_back(place)
        queries.virtual_ns = max(queries.virtual_ns, at)
        if answer.begins:
            queries.begin(answer.first, answer.count, at)
            return
        queries.finish(answer.first, answer.count, FAILED if answer.failed else DONE, at)

    cdef void _serve(self, Queries queries, int64_t begin) noexcept nogil:
        cdef int64_t first = 0, count, ready, at, worker = self.free.top().second
        cdef double factor
        cdef int outcome
        queries.virtual_ns = max(queries.virtual_ns, begin)
        count = queries.claim(self.times_ns.shape[0], self.wait_ns, &first)
        if count == 0:
            return
        if self.used == self.factors.shape[0]:
            with gil:
                self._draw()
        factor = self._factor(queries.virtual_ns)
        if self.paced:
            ready = self._paced(worker, count, queries.virtual_ns, factor)
        else:
            ready = queries.virtual_ns + <int64_t> (self.times_ns[count - 1] * factor)
        ready += self.additions[self.used]
        outcome = self.outcomes[self.used]
        self.used += 1
        at = ready + self.network_ns
        if outcome == 0 and self.tokens is not None:
            self._fly(Answer(first, count, False, True), at)
            ready = self._speak(queries, first, count, ready, factor)
        elif outcome != 2:
            self._fly(Answer(first, count, outcome == 1, False), at)
        self.free.pop()
        self.free.push(pair[int64_t, int64_t](-ready, worker))

    cdef int64_t _paced(
        self, int64_t worker, int64_t count, int64_t now, double factor
    ) noexcept nogil:
        """When a batch is done that a worker begins ``now``, by the clock of its size."""
        cdef int32_t clock = self.clock[count - 1]
        cdef int64_t first = self.clock_first[clock], beyond = self.clock_first[clock + 1]
        cdef const int64_t* at = &self.clock_at[first]
        cdef const double* done = &self.clock_done[first]
        cdef int64_t last = beyond - first - 1
        cdef int64_t moment = (self.age_ns + self.offsets[worker] + now) % self.period_ns
        cdef int64_t place = upper_bound(at, at + last, moment) - at
        cdef double speed = (done[place] - done[place - 1]) / <double> (at[place] - at[place - 1])
        cdef double until = done[place] - <double> (at[place] - moment) * speed
        cdef double periods
        until += self.work[count - 1] * factor
        periods = floor(until / done[last])
        until -= periods * done[last]
        place = upper_bound(done, done + last, until) - done
        speed = (done[place] - done[place - 1]) / <double> (at[place] - at[place - 1])
        moment = at[place] - <int64_t> ((done[place] - until) / speed) - moment
        return now + max(moment + <int64_t> periods * self.period_ns, <int64_t> 1)

    cdef int64_t _speak(
        self, Queries queries, int64_t first, int64_t count, int64_t begun, double factor
    ) noexcept nogil:
        """The further tokens of a batch; when the last one is there."""
        cdef int64_t index, end, last = begun
        cdef int64_t each = max(<int64_t> (self.token_ns[count - 1] * factor), <int64_t> 1)
        cdef int32_t tokens
        for index in range(first, first + count):
            tokens = self.tokens[queries.samples[index] % self.tokens.shape[0]]
            queries.tape.count_token(index, tokens)
            end = begun + (tokens - 1) * each
            last = max(last, end)
            self._fly(Answer(index, 1, False, False), end + self.network_ns)
        return last

    cdef void _fly(self, Answer answer, int64_t at) noexcept nogil:
        """Something arrives at ``at``."""
        cdef int64_t place
        if self.unused.empty():
            place = self.answers.size()
            self.answers.push_back(answer)
        else:
            place = self.unused.back()
            self.unused.pop_back()
            self.answers[place] = answer
        self.flying.push(pair[int64_t, int64_t](-at, place))

    cdef double _factor(self, int64_t now) noexcept nogil:
        cdef double factor = self.factors[self.used]
        cdef double phase
        if self.drift:
            phase = 2 * M_PI * <double> (self.age_ns + now) / <double> self.drift_period_ns
            factor *= 1 + self.drift * sin(phase)
        return factor

    cdef _draw(self):
        self.factors, self.additions, self.outcomes = self.chances(BLOCK)
        self.used = 0
