"""The traffic of a run as arrays, generated before the run starts.

For the same settings and seeds it is that of the official LoadGen 6.0: the same loaded set,
sample indices and, for server, the schedule to the nanosecond.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from loadgen._rng cimport Engine, below, exponential, seed, shuffle

import numpy as np

from loadgen.settings import Mode, Scenario


cdef class Traffic:
    """What one loaded set of samples is asked for.

    ``loaded``: int64[m], the samples to load. ``sample_index``: int32[n], the sample of each
    issue, ``samples_per_query`` contiguous ones to a query. ``scheduled_ns``: int64[q], each
    query's time after the start, or None where the next query follows from the last one.
    """

    @property
    def endless(self):
        """Whether ``more`` can lengthen the traffic: a closed loop in performance mode."""
        return self._endless

    def more(self, Py_ssize_t queries):
        """Lengthen ``sample_index`` by ``queries`` further queries of the same sequence."""
        if not self._endless:
            raise ValueError("this traffic has a fixed length")
        fresh = _random_queries(self, queries)
        self.sample_index = np.concatenate([self.sample_index, fresh])


cdef _random_queries(Traffic traffic, Py_ssize_t queries):
    """int32[queries * samples_per_query]: each query a uniform start and its neighbours."""
    cdef int per_query = traffic.samples_per_query
    cdef int64_t[::1] loaded = traffic.loaded
    cdef Py_ssize_t span = len(traffic.loaded) - (per_query - 1)
    cdef int32_t[::1] index = np.empty(queries * per_query, dtype=np.int32)
    cdef Py_ssize_t query, start
    cdef int sample
    for query in range(queries):
        start = below(&traffic._sample_rng, <uint32_t> span)
        for sample in range(per_query):
            index[query * per_query + sample] = <int32_t> loaded[start + sample]
    return np.asarray(index)


def loaded_sets(settings, int total_count, int performance_count):
    """The sets of samples to load, one after the other: a list of int64[m].

    Performance mode loads a permutation of the first ``performance_count`` samples; accuracy
    mode cuts a permutation of them all into sets of that size. Multi-stream repeats a set's
    first samples at its end, so that a query may start at any of them.
    """
    cdef Engine rng
    cdef bint accuracy = settings.mode is Mode.ACCURACY
    cdef int size = min(performance_count, total_count)
    cdef int32_t[::1] order = np.arange(total_count if accuracy else size, dtype=np.int32)
    seed(&rng, <uint64_t> settings.qsl_seed)
    shuffle(&rng, &order[0], order.shape[0])
    samples = np.asarray(order).astype(np.int64)
    cdef int wrap = settings.samples_per_query - 1
    cut = [samples[i : i + size] for i in range(0, len(samples), size)]
    return [np.concatenate([part, np.resize(part, wrap)]) for part in cut]


def generate(settings, loaded, Py_ssize_t closed_loop_queries=65536):
    """The traffic for one loaded set (see ``loaded_sets``).

    ``closed_loop_queries``: how many queries a closed loop is given at first.
    """
    cdef Traffic traffic = Traffic.__new__(Traffic)
    traffic.loaded = np.ascontiguousarray(loaded, dtype=np.int64)
    traffic.samples_per_query = settings.samples_per_query
    seed(&traffic._sample_rng, <uint64_t> settings.sample_index_seed)
    if settings.scenario is Scenario.OFFLINE:
        traffic.sample_index = _offline_index(settings, traffic)
        traffic.samples_per_query = len(traffic.sample_index)
        traffic.scheduled_ns = np.zeros(1, dtype=np.int64)
    elif settings.mode is Mode.ACCURACY:
        traffic.sample_index = _each_once(traffic)
        if settings.scenario is Scenario.SERVER:
            traffic.scheduled_ns = _poisson_count(settings, len(traffic.sample_index))
    elif settings.scenario is Scenario.SERVER:
        _skip_unused_orders(settings, traffic)
        traffic.scheduled_ns = _poisson(settings)
        traffic.sample_index = _random_queries(traffic, len(traffic.scheduled_ns))
    else:
        _skip_unused_orders(settings, traffic)
        queries = max(closed_loop_queries, settings.min_query_count)
        if settings.max_query_count is not None:
            queries = min(queries, settings.max_query_count)
        traffic._endless = settings.max_query_count is None or queries < settings.max_query_count
        traffic.sample_index = _random_queries(traffic, queries)
    return traffic


cdef _each_once(Traffic traffic):
    """int32: the loaded samples in a shuffled order of queries, each sample once."""
    cdef int per_query = traffic.samples_per_query
    cdef Py_ssize_t samples = len(traffic.loaded) - (per_query - 1)
    cdef int32_t[::1] starts = np.arange(0, samples, per_query, dtype=np.int32)
    shuffle(&traffic._sample_rng, &starts[0], starts.shape[0])
    positions = np.asarray(starts)[:, None] + np.arange(per_query, dtype=np.int32)
    return traffic.loaded[positions.ravel()].astype(np.int32)


cdef _skip_unused_orders(settings, Traffic traffic):
    """Draw the orders of the unique and equal-issue modes, which the official one always does."""
    cdef int per_query = traffic.samples_per_query
    cdef int64_t loaded = len(traffic.loaded)
    cdef int32_t[::1] order = np.arange(0, loaded - (per_query - 1), per_query, dtype=np.int32)
    shuffle(&traffic._sample_rng, &order[0], order.shape[0])
    order = np.arange(loaded, dtype=np.int32)
    for _ in range(0, settings.min_query_count, loaded):
        shuffle(&traffic._sample_rng, &order[0], order.shape[0])


def _offline_index(settings, Traffic traffic):
    """int32: the loaded set in its order; in performance mode as often as the count needs.

    The count is a tenth more than the expected rate serves in the minimum duration.
    """
    loaded = traffic.loaded.astype(np.int32)
    if settings.mode is Mode.ACCURACY:
        return loaded
    expected = int(1.1 * settings.min_duration_ms / 1000 * settings.target_qps)
    return np.resize(loaded, max(settings.min_sample_count, settings.min_query_count, expected))


def _poisson(settings):
    """int64[q]: arrivals until both the minimum duration and the minimum count are reached."""
    cdef int64_t duration_ns = int(settings.min_duration_ms * 1e6)
    cdef Py_ssize_t least = settings.min_query_count
    expected = int(settings.target_qps * settings.min_duration_ms / 1000)
    cdef Py_ssize_t capacity = max(least, expected) + 1
    most = settings.max_query_count
    while True:
        # The engine starts afresh, so a longer attempt begins with the shorter one.
        times = _poisson_count(settings, capacity)
        count = max(least, int(np.searchsorted(times, duration_ns)) + 1)
        if count <= len(times):
            return times[: count if most is None else min(count, most)].copy()
        capacity += capacity // 4 + 1024


cdef _poisson_count(settings, Py_ssize_t count):
    cdef Engine rng
    cdef double rate = settings.target_qps
    cdef int64_t[::1] times = np.empty(count, dtype=np.int64)
    cdef int64_t time_ns = 0
    cdef Py_ssize_t query
    seed(&rng, <uint64_t> settings.schedule_seed)
    with nogil:
        for query in range(count):
            times[query] = time_ns
            time_ns += <int64_t> (exponential(&rng, rate) * 1e9)
    return np.asarray(times)
