"""The C-level interface: native systems under test claim and finish without the GIL.

    from loadgen._queries cimport Queries, DONE
    from loadgen._platform cimport now_ns

    cdef int64_t first, count
    with nogil:
        while (count := queries.claim(64, 0, &first)) > 0:
            ...                                     # queries.samples[first : first + count]
            queries.finish(first, count, DONE, now_ns())
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.atomic cimport atomic

from loadgen._platform cimport Monitor
from loadgen._tape cimport DONE, FAILED, Tape
from loadgen._traffic cimport Traffic


cdef class Queries:
    cdef readonly object settings
    cdef readonly Traffic traffic
    cdef const int32_t* samples
    cdef Tape tape
    cdef Monitor monitor
    cdef atomic[int] started, stopped, finished
    cdef atomic[int64_t] cursor, after_end
    cdef bint keeps_responses
    cdef bint virtual
    cdef int64_t virtual_ns
    cdef int64_t start_ns, per_query, waiting_takers, spin_ns
    cdef object _first_error

    cdef int64_t claim(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil
    cdef void finish(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil
    cdef void begin(self, int64_t first, int64_t count, int64_t at) noexcept nogil

    cdef int64_t next_due(self) noexcept nogil
    cdef int64_t time_ns(self) noexcept nogil

    cdef int64_t _due(self, int64_t most) noexcept nogil
    cdef int64_t _take(self, int64_t most, int64_t wait_ns, int64_t* first) noexcept nogil
    cdef void _answer(self, int64_t first, int64_t count, uint8_t state, int64_t at) noexcept nogil
    cdef int64_t _sleep(self, int64_t due, int64_t spin_ns) noexcept nogil
    cdef bint _left(self)
    cdef void _start(self, int64_t at) noexcept nogil
    cdef void _end(self) noexcept nogil
    cdef void _await_start(self) noexcept nogil
    cdef _point(self)
    cdef _note(self, error)


cdef class Batch:
    cdef readonly Queries queries
    cdef int64_t first, count
