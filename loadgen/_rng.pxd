"""What is drawn millions of times, inline."""

from libc.math cimport log
from libc.stdint cimport int32_t, uint32_t, uint64_t


cdef struct Engine:
    uint32_t[624] state
    int position


cdef void seed(Engine* engine, uint64_t value) noexcept nogil
cdef void refill(Engine* engine) noexcept nogil
cdef void shuffle(Engine* engine, int32_t* values, Py_ssize_t count) noexcept nogil
cdef void skip_shuffle(Engine* engine, Py_ssize_t count) noexcept nogil


cdef inline uint32_t draw(Engine* engine) noexcept nogil:
    """The next 32 random bits."""
    if engine.position == 624:
        refill(engine)
    cdef uint32_t bits = engine.state[engine.position]
    engine.position += 1
    bits ^= bits >> 11
    bits ^= (bits << 7) & <uint32_t> 0x9D2C5680
    bits ^= (bits << 15) & <uint32_t> 0xEFC60000
    return bits ^ (bits >> 18)


cdef inline uint32_t below(Engine* engine, uint32_t bound) noexcept nogil:
    """A uniform integer in [0, bound), by Lemire's multiplication with rejection."""
    cdef uint64_t product = <uint64_t> draw(engine) * bound
    cdef uint32_t rejected
    if <uint32_t> product < bound:
        rejected = (<uint32_t> 0 - bound) % bound
        while <uint32_t> product < rejected:
            product = <uint64_t> draw(engine) * bound
    return <uint32_t> (product >> 32)


cdef inline double canonical(Engine* engine) noexcept nogil:
    """A uniform double in [0, 1) from two draws, the lower word first."""
    cdef double low = draw(engine)
    cdef double value = (low + draw(engine) * 4294967296.0) / 18446744073709551616.0
    return value if value < 1.0 else 0.99999999999999988898


cdef inline double exponential(Engine* engine, double rate) noexcept nogil:
    """An exponential interval with mean 1 / rate."""
    return -log(1.0 - canonical(engine)) / rate
