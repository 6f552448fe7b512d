from libc.stdint cimport int32_t, uint32_t, uint64_t


cdef struct Engine:
    uint32_t[624] state
    int position


cdef void seed(Engine* engine, uint64_t value) noexcept nogil
cdef uint32_t draw(Engine* engine) noexcept nogil
cdef uint32_t below(Engine* engine, uint32_t bound) noexcept nogil
cdef double canonical(Engine* engine) noexcept nogil
cdef double exponential(Engine* engine, double rate) noexcept nogil
cdef void shuffle(Engine* engine, int32_t* values, Py_ssize_t count) noexcept nogil
