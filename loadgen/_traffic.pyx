"""The traffic of a run as arrays, generated before the run starts.

For the same settings and seeds it is that of the official LoadGen 6.0: the same loaded set,
sample indices and, for server, the schedule to the nanosecond.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from loadgen._rng cimport Engine, below, canonical, exponential, seed, shuffle, skip_shuffle

import dataclasses
import math

import numpy as np

from loadgen.settings import Arrivals, Issue, Mode, Scenario


# So many samples a closed loop has at first; 28 bytes each.
cdef Py_ssize_t _AT_FIRST = 2**20

# How many more orders than the first an accuracy run draws, the last of which it has.
_ACCURACY_ORDERS = {Issue.RANDOM: 0, Issue.UNIQUE: 1, Issue.EQUAL: 2}


cdef class Traffic:
    """What one loaded set of samples is asked for.

    ``loaded``: int64[m], the samples to load. ``sample_index``: int32[n], the sample of each
    issue, ``samples_per_query`` contiguous ones to a query. ``scheduled_ns``: int64[q], each
    query's time after the start, or None where the next query follows from the last one.
    ``least_queries``: how many of them a run has that does not extend itself.
    """

    @property
    def endless(self):
        """Whether ``more`` can lengthen the traffic: a closed loop in performance mode."""
        return self._endless

    def more(self, Py_ssize_t queries):
        """Lengthen ``sample_index`` by ``queries`` further queries of the same sequence."""
        if not self._endless:
            raise ValueError("this traffic has a fixed length")
        fresh = _drawn_queries(self, queries)
        self.sample_index = np.concatenate([self.sample_index, fresh])


cdef _drawn_queries(Traffic traffic, Py_ssize_t queries):
    """int32[queries * samples_per_query]: each query a uniform start and its neighbours.

    With ``_same`` set, every query starts there, and nothing is drawn.
    """
    cdef int per_query = traffic.samples_per_query
    cdef int32_t[::1] loaded = traffic.loaded.astype(np.int32)
    cdef Py_ssize_t span = len(traffic.loaded) - (per_query - 1)
    index = np.empty(queries * per_query, dtype=np.int32)
    cdef int32_t[::1] places = index
    cdef int32_t* place = &places[0] if queries else NULL
    cdef const int32_t* start = &loaded[0] + max(traffic._same, <Py_ssize_t> 0)
    cdef Py_ssize_t _query
    cdef int sample
    with nogil:
        for _query in range(queries):
            if traffic._same < 0:
                start = &loaded[0] + below(&traffic._sample_rng, <uint32_t> span)
            for sample in range(per_query):
                place[sample] = start[sample]
            place += per_query
    return index


def loaded_sets(settings, int total_count, int performance_count):
    """The sets of samples to load, one after the other: a list of int64[m].

    Performance mode loads one set of ``performance_count`` samples, by the v6 rule a
    permutation of the first ones; accuracy mode cuts a permutation of them all into sets of that
    size. Multi-stream repeats a set's first samples at its end, so that a query may start at any
    of them.
    """
    cdef Engine rng
    cdef bint accuracy = settings.mode is Mode.ACCURACY
    cdef int size = min(performance_count, total_count)
    cdef bint all_samples = accuracy or settings.traffic == "v5"
    cdef int32_t[::1] order = np.arange(total_count if all_samples else size, dtype=np.int32)
    seed(&rng, <uint64_t> settings.qsl_seed)
    shuffle(&rng, &order[0], order.shape[0])
    samples = np.asarray(order).astype(np.int64)
    cdef int wrap = settings.samples_per_query - 1
    cut = [samples[i : i + size] for i in range(0, len(samples), size)]
    sets = [np.concatenate([part, np.resize(part, wrap)]) for part in cut]
    return sets if accuracy else sets[:1]


def generate(settings, loaded, Py_ssize_t closed_loop_queries=0):
    """The traffic for one loaded set (see ``loaded_sets``).

    ``closed_loop_queries``: how many queries a closed loop is given at first; 0 for so many that
    few systems need more, because a run pauses between two queries while it gets more.
    """
    cdef Traffic traffic = Traffic.__new__(Traffic)
    traffic._same = -1
    traffic.loaded = np.ascontiguousarray(loaded, dtype=np.int64)
    traffic.samples_per_query = settings.samples_per_query
    seed(&traffic._sample_rng, <uint64_t> settings.sample_index_seed)
    if settings.scenario is Scenario.OFFLINE:
        traffic.sample_index = _offline_index(settings, traffic)
        traffic.samples_per_query = len(traffic.sample_index)
        traffic.scheduled_ns = np.zeros(1, dtype=np.int64)
        return traffic
    order = _query_order(traffic)
    traffic.least_queries = 0
    if settings.mode is Mode.ACCURACY or settings.issue is Issue.UNIQUE:
        for _ in range(_ACCURACY_ORDERS[settings.issue] if settings.mode is Mode.ACCURACY else 0):
            order = _query_order(traffic)
        traffic.sample_index = _neighbours(traffic, order)
        if settings.scenario is Scenario.SERVER:
            times = _poisson_count(settings, len(order))
            if settings.mode is Mode.PERFORMANCE:
                times = _within(settings, times)
            traffic.scheduled_ns = times
            traffic.sample_index = traffic.sample_index[: len(times)]
    elif settings.issue is Issue.EQUAL:
        _equal_issue(settings, traffic)
    else:
        # The official one draws permutations first, whether it uses them or not.
        for _ in range(0, settings.min_query_count, len(traffic.loaded)):
            skip_shuffle(&traffic._sample_rng, len(traffic.loaded))
        _drawn_issue(settings, traffic, closed_loop_queries)
    return traffic


def logged(settings, Py_ssize_t samples):
    """bool[samples]: whose responses are kept, in issue order.

    All in accuracy mode; in performance mode a share of them, drawn from a generator that, as in
    the official one, always starts alike and is shifted by ``accuracy_log_seed``.
    """
    cdef Engine rng, shift
    cdef Py_ssize_t i
    cdef double offset, value
    if settings.mode is Mode.ACCURACY:
        return np.ones(samples, dtype=bool)
    cdef double probability = _log_probability(settings)
    cdef unsigned char[::1] kept = np.zeros(samples, dtype=np.uint8)
    if probability > 0:
        seed(&rng, 5489)
        seed(&shift, <uint64_t> settings.accuracy_log_seed)
        offset = canonical(&shift)
        for i in range(samples):
            value = canonical(&rng) + offset
            kept[i] = (value - 1.0 if value >= 1.0 else value) <= probability
    return np.asarray(kept).astype(bool)


def keeps_responses(settings):
    """Whether a run keeps any response."""
    return settings.mode is Mode.ACCURACY or _log_probability(settings) > 0


def _log_probability(settings):
    if not settings.accuracy_log_sampling_target:
        return settings.accuracy_log_probability
    if settings.scenario is Scenario.OFFLINE:
        return min(1.0, settings.accuracy_log_sampling_target / offline_count(settings))
    per_query = settings.samples_per_query
    expected = int((settings.target_qps or 1.0) * settings.min_duration_ms / 1000) * per_query
    least = settings.min_query_count * per_query
    return min(1.0, settings.accuracy_log_sampling_target / max(expected, least, 1))


cdef _query_order(Traffic traffic):
    """int32: the places in the loaded set where disjoint queries start, shuffled."""
    cdef int per_query = traffic.samples_per_query
    cdef Py_ssize_t samples = len(traffic.loaded) - (per_query - 1)
    cdef int32_t[::1] starts = np.arange(0, samples, per_query, dtype=np.int32)
    shuffle(&traffic._sample_rng, &starts[0], starts.shape[0])
    return np.asarray(starts)


def _neighbours(Traffic traffic, starts):
    """int32: the samples of queries that start at these places of the loaded set."""
    positions = starts[:, None] + np.arange(traffic.samples_per_query, dtype=np.int32)
    return traffic.loaded[positions.ravel()].astype(np.int32)


cdef _permutations(Traffic traffic, int64_t least, bint afresh):
    """int32: permutations of the loaded set, one after the other, ``least`` places or more.

    Each permutes the one before it or, ``afresh``, the loaded set.
    """
    cdef int32_t[::1] order = traffic.loaded.astype(np.int32)
    parts = []
    for _ in range(0, least, order.shape[0]):
        if afresh:
            order = traffic.loaded.astype(np.int32)
        shuffle(&traffic._sample_rng, &order[0], order.shape[0])
        parts.append(np.array(order))
    return np.concatenate(parts)


def _equal_issue(settings, Traffic traffic):
    """Whole permutations of the loaded set, as many as duration and count ask for.

    As in the official one, a server's are no more than its least count asks for, and then the
    same ones again; a closed loop issues all that twice its duration might need.
    """
    least, size = settings.min_query_count, len(traffic.loaded)
    if settings.scenario is not Scenario.SERVER:
        traffic.sample_index = _permutations(traffic, equal_count(settings, size), False)
        return
    queries = -(-len(_arrivals(_unlimited(settings))) // size) * size
    traffic.scheduled_ns = _within(settings, _poisson_count(settings, queries))
    permutations = _permutations(traffic, least, False)
    traffic.sample_index = np.resize(permutations, len(traffic.scheduled_ns))


def equal_count(settings, int size):
    """How many queries a closed loop with issue=equal has, for a loaded set of ``size``."""
    in_time = int(2 * (settings.target_qps or 0) * settings.min_duration_ms / 1000)
    return -(-(max(settings.min_query_count, in_time) + 1) // size) * size


def _unlimited(settings):
    return dataclasses.replace(settings, max_duration_ms=None, max_query_count=None)


def _within(settings, times):
    """The arrivals that the longest duration and the largest count let in."""
    if settings.max_duration_ms is not None:
        times = times[: int(np.searchsorted(times, int(settings.max_duration_ms * 1e6))) + 1]
    return times[: settings.max_query_count]


def _drawn_issue(settings, Traffic traffic, Py_ssize_t closed_loop_queries):
    """Samples drawn with replacement, or always the same ones."""
    if settings.scenario is Scenario.SERVER:
        traffic.scheduled_ns = _arrivals(_extended(settings))
        queries = len(traffic.scheduled_ns)
        traffic.least_queries = len(_arrivals(settings)) if settings.extend else queries
    else:
        first = closed_loop_queries or _AT_FIRST // settings.samples_per_query
        queries = max(first, settings.min_query_count)
        if settings.max_query_count is not None:
            queries = min(queries, settings.max_query_count)
        traffic._endless = settings.max_query_count is None or queries < settings.max_query_count
    traffic._same = settings.same_index if settings.issue is Issue.SAME else -1
    if traffic._same > len(traffic.loaded) - settings.samples_per_query:
        raise ValueError(f"same_index={traffic._same} lies outside the loaded set")
    traffic.sample_index = _drawn_queries(traffic, queries)


def _extended(settings):
    """The settings of the longest run that these may grow into."""
    if not settings.extend:
        return settings
    return dataclasses.replace(settings, min_duration_ms=settings.max_duration_ms, extend=False)


def offline_count(settings):
    """How many samples an offline run has at least: a tenth more than the rate lets expect."""
    expected = int(1.1 * settings.min_duration_ms / 1000 * settings.target_qps)
    return max(settings.min_sample_count, settings.min_query_count, expected)


def _offline_index(settings, Traffic traffic):
    """int32: the loaded set in its order; in performance mode as often as the count needs."""
    loaded = traffic.loaded.astype(np.int32)
    accuracy = settings.mode is Mode.ACCURACY
    count = len(loaded) if accuracy else offline_count(settings)
    if settings.issue is Issue.EQUAL:
        # What other ways of issue would use is drawn first.
        for _ in range(3 if accuracy else 2):
            skip_shuffle(&traffic._sample_rng, len(loaded))
        return _permutations(traffic, count, True)
    if accuracy or settings.issue is Issue.UNIQUE:
        return loaded
    if settings.issue is Issue.SAME:
        return np.full(count, loaded[settings.same_index], dtype=np.int32)
    return np.resize(loaded, count)


def _poisson(settings, int per_arrival):
    """int64[a]: arrivals, each of so many queries, until duration and count are reached."""
    cdef int64_t duration_ns = int(settings.min_duration_ms * 1e6)
    cdef Py_ssize_t least = -(-settings.min_query_count // per_arrival)
    expected = int(settings.target_qps / per_arrival * settings.min_duration_ms / 1000)
    cdef Py_ssize_t capacity = max(least, expected) + 1
    most = settings.max_query_count
    if most is not None:
        most = max(1, most // per_arrival)
    while True:
        # The engine starts afresh, so a longer attempt begins with the shorter one.
        times = _poisson_count(settings, capacity, per_arrival)
        count = max(least, int(np.searchsorted(times, duration_ns)) + 1)
        if count <= len(times):
            return times[: count if most is None else min(count, most)].copy()
        capacity += capacity // 4 + 1024


def _arrivals(settings):
    """int64[q]: when the queries of a server run arrive, until duration and count are reached.

    The first that arrives after the longest duration is the last, as in the official LoadGen: so
    a run whose shortest and longest durations are equal is long enough. The counts yield to it.
    """
    return _within(settings, _all_arrivals(settings))


def _all_arrivals(settings):
    if settings.arrivals is Arrivals.TRACE:
        return np.array(settings.trace_ns, dtype=np.int64)
    if settings.arrivals is Arrivals.BURST:
        return np.repeat(_poisson(settings, settings.burst_size), settings.burst_size)
    if settings.arrivals is Arrivals.CONSTANT:
        in_time = math.ceil(settings.min_duration_ms / 1000 * settings.target_qps) + 1
        count = max(settings.min_query_count, in_time)
        if settings.max_query_count is not None:
            count = min(count, settings.max_query_count)
        return (np.arange(count) * (1e9 / settings.target_qps)).astype(np.int64)
    return _poisson(settings, 1)


cdef _poisson_count(settings, Py_ssize_t count, int per_arrival=1):
    cdef Engine rng
    cdef double rate = settings.target_qps / per_arrival
    cdef int64_t[::1] times = np.empty(count, dtype=np.int64)
    cdef int64_t time_ns = 0
    cdef Py_ssize_t query
    seed(&rng, <uint64_t> settings.schedule_seed)
    with nogil:
        for query in range(count):
            times[query] = time_ns
            time_ns += <int64_t> (exponential(&rng, rate) * 1e9)
    return np.asarray(times)
