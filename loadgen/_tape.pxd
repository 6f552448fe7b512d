from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
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
    cdef int64_t per_query, total, bound_ns, tpot_bound_ns, last_take
    cdef int64_t *scheduled
    cdef uint32_t *takes
    cdef int64_t *answers
    cdef int64_t *first_tokens
    cdef int32_t *token_counts
    cdef vector[Apart] apart
    cdef atomic[int64_t] done, failed, over_bound, repeated, unknown
    cdef atomic[int64_t] begun, over_tpot
    cdef object scheduled_ns, take_words, answer_words, first_token_ns, token_count
    cdef object logged, responses, first_responses

    cdef lengthen(self, int64_t total, logged)
    cdef _lengthen_tokens(self, times, counts)
    cdef void take(self, int64_t begin, int64_t end, int64_t at, int64_t late) noexcept nogil
    cdef int64_t answer(
        self, int64_t first, int64_t count, uint8_t state, int64_t at
    ) noexcept nogil
    cdef void first_token(self, int64_t first, int64_t count, int64_t at) noexcept nogil
    cdef void count_token(self, int64_t index, int32_t tokens) noexcept nogil
    cdef void _hear(self, int64_t index, int64_t at) noexcept nogil
    cdef int64_t late(self) noexcept nogil
    cdef int64_t late_at_most(self, int64_t issued) noexcept nogil
    cdef count_tokens(self, const int64_t[:] ids, tokens)
    cdef keep(self, const int64_t[:] ids, outputs, list responses)
    cdef apart_takes(self)
