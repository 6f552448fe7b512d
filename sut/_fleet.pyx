"""A fleet of simulated workers on the virtual clock of a run: its events, in their order."""

from libc.math cimport M_PI, sin
from libc.stdint cimport int32_t, int64_t
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
    """``workers`` that serve batches, each in ``times_ns[size - 1, pick]`` (int64) by chance.

    ``chances``: draws as many batches' fortunes as it is asked for: int32 picks, float64 factors of
    the service time, int64 additions in ns, uint8 outcomes (0 answered, 1 failed, 2 lost).
    ``network_ns``: there and back. ``drift``, ``drift_period_ns``: a sine on the service time,
    which goes on from run to run. ``tokens``, int32[k]: of how many each answer is, by the sample's
    index modulo k; None for answers that come at once. The service time then is that until the
    first token of all, and ``token_ns[size - 1]`` (int64) that of each further one; a worker is
    free after the longest answer.
    """

    cdef int64_t[:, ::1] times_ns
    cdef int64_t[::1] token_ns
    cdef const int32_t[::1] tokens
    cdef int64_t workers, wait_ns, network_ns, drift_period_ns, age_ns
    cdef double drift
    cdef object chances
    cdef int32_t[::1] picks
    cdef double[::1] factors
    cdef int64_t[::1] additions
    cdef unsigned char[::1] outcomes
    cdef Py_ssize_t used
    # Times are negative: these queues give out the largest first.
    cdef priority_queue[int64_t] free
    cdef priority_queue[pair[int64_t, int64_t]] flying
    cdef vector[Answer] answers
    cdef vector[int64_t] unused

    def __init__(
        self, times_ns, chances, int64_t workers, int64_t wait_ns, int64_t network_ns,
        double drift, int64_t drift_period_ns, tokens=None, token_ns=None,
    ):
        self.times_ns, self.chances, self.workers = times_ns, chances, workers
        self.wait_ns, self.network_ns = wait_ns, network_ns
        self.drift, self.drift_period_ns = drift, drift_period_ns
        self.tokens, self.token_ns = tokens, token_ns
        self._draw()

    def reset(self, int64_t elapsed_ns):
        """Get ready for a run: all idle. The last one took ``elapsed_ns``, for the drift."""
        self.age_ns += elapsed_ns
        self.free = priority_queue[int64_t]()
        self.flying = priority_queue[pair[int64_t, int64_t]]()
        self.answers.clear()
        self.unused.clear()
        for _ in range(self.workers):
            self.free.push(0)

    def advance(self, Queries queries, int64_t until_ns):
        """Everything that happens until ``until_ns``."""
        cdef int64_t begin, answered
        with nogil:
            while not queries.finished.load():
                answered = -self.flying.top().first if self.flying.size() else NEVER
                begin = max(-self.free.top(), queries.next_due())
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
        cdef int64_t first = 0, count, ready, at
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
        ready = <int64_t> (self.times_ns[count - 1, self.picks[self.used]] * factor)
        ready += queries.virtual_ns
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
        self.free.push(-ready)

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
        self.picks, self.factors, self.additions, self.outcomes = self.chances(BLOCK)
        self.used = 0
