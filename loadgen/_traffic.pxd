from loadgen._rng cimport Engine


cdef class Traffic:
    cdef readonly object loaded
    cdef readonly object sample_index
    cdef readonly object scheduled_ns
    cdef readonly int samples_per_query
    cdef readonly Py_ssize_t least_queries
    cdef Engine _sample_rng
    cdef bint _endless
    cdef Py_ssize_t _same
