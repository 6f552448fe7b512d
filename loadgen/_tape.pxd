from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.atomic cimport atomic

cdef enum Status:
    PENDING = 0
    TAKEN = 1
    DONE = 2
    FAILED = 3


cdef class Tape:
    cdef int64_t per_query, total, bound_ns, waits
    cdef int64_t *scheduled
    cdef int64_t *taken
    cdef int64_t *completed
    cdef int32_t *lateness
    cdef uint8_t *status
    cdef atomic[int64_t] done, failed, over_bound, repeated, unknown
    cdef object scheduled_ns, taken_ns, completed_ns, lateness_ns, statuses, responses, logged

    cdef lengthen(self, int64_t total, logged)
    cdef void take(self, int64_t begin, int64_t end, int64_t at) noexcept nogil
    cdef void wake(self, int64_t late) noexcept nogil
    cdef int64_t answer(
        self, int64_t first, int64_t count, uint8_t state, int64_t at
    ) noexcept nogil
    cdef keep(self, const int64_t[:] ids, outputs)
