from libc.stdint cimport int64_t, uint8_t, uint32_t
from libcpp.atomic cimport atomic
from libcpp.vector cimport vector

cdef enum Status:
    PENDING = 0
    TAKEN = 1
    DONE = 2
    FAILED = 3

cdef struct Apart:
    int64_t gap
    int64_t late


cdef class Tape:
    cdef int64_t per_query, total, bound_ns, last_take
    cdef int64_t *scheduled
    cdef uint32_t *takes
    cdef int64_t *answers
    cdef vector[Apart] apart
    cdef atomic[int64_t] done, failed, over_bound, repeated, unknown
    cdef object scheduled_ns, take_words, answer_words, responses, logged

    cdef lengthen(self, int64_t total, logged)
    cdef void take(self, int64_t begin, int64_t end, int64_t at, int64_t late) noexcept nogil
    cdef int64_t answer(
        self, int64_t first, int64_t count, uint8_t state, int64_t at
    ) noexcept nogil
    cdef keep(self, const int64_t[:] ids, outputs)
    cdef apart_takes(self)
