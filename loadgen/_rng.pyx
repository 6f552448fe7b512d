"""Random numbers of the traffic: the 32-bit Mersenne twister and four distributions.

The C++ standard fixes the engine but not the distributions, so those of libstdc++ (GCC 11 and
later), which the official LoadGen is built with, are written out here: the same seeds give the
same traffic on every compiler. Each ``Engine`` belongs to one thread.
"""

from libc.math cimport log
from libc.stdint cimport int32_t, uint32_t, uint64_t

import numpy as np


cdef void seed(Engine* engine, uint64_t value) noexcept nogil:
    """Start the engine; like the official one it keeps only the lower 32 bits of the seed."""
    cdef int i
    cdef uint32_t last
    engine.state[0] = <uint32_t> value
    for i in range(1, 624):
        last = engine.state[i - 1]
        engine.state[i] = <uint32_t> 1812433253 * (last ^ (last >> 30)) + <uint32_t> i
    engine.position = 624


cdef void _refill(Engine* engine) noexcept nogil:
    cdef int i
    cdef uint32_t mixed
    for i in range(624):
        mixed = (engine.state[i] & <uint32_t> 0x80000000) | (
            engine.state[(i + 1) % 624] & <uint32_t> 0x7FFFFFFF
        )
        engine.state[i] = (
            engine.state[(i + 397) % 624] ^ (mixed >> 1) ^ (<uint32_t> 0x9908B0DF * (mixed & 1))
        )
    engine.position = 0


cdef uint32_t draw(Engine* engine) noexcept nogil:
    """The next 32 random bits."""
    if engine.position == 624:
        _refill(engine)
    cdef uint32_t bits = engine.state[engine.position]
    engine.position += 1
    bits ^= bits >> 11
    bits ^= (bits << 7) & <uint32_t> 0x9D2C5680
    bits ^= (bits << 15) & <uint32_t> 0xEFC60000
    return bits ^ (bits >> 18)


cdef uint32_t below(Engine* engine, uint32_t bound) noexcept nogil:
    """A uniform integer in [0, bound), by Lemire's multiplication with rejection."""
    cdef uint64_t product = <uint64_t> draw(engine) * bound
    cdef uint32_t rejected
    if <uint32_t> product < bound:
        rejected = (<uint32_t> 0 - bound) % bound
        while <uint32_t> product < rejected:
            product = <uint64_t> draw(engine) * bound
    return <uint32_t> (product >> 32)


cdef double canonical(Engine* engine) noexcept nogil:
    """A uniform double in [0, 1) from two draws, the lower word first."""
    cdef double low = draw(engine)
    cdef double value = (low + draw(engine) * 4294967296.0) / 18446744073709551616.0
    return value if value < 1.0 else 0.99999999999999988898


cdef double exponential(Engine* engine, double rate) noexcept nogil:
    """An exponential interval with mean 1 / rate."""
    return -log(1.0 - canonical(engine)) / rate


cdef inline void _swap(int32_t* values, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    cdef int32_t held = values[i]
    values[i] = values[j]
    values[j] = held


cdef void shuffle(Engine* engine, int32_t* values, Py_ssize_t count) noexcept nogil:
    """Permute in place: two swaps a draw up to 65,535 values, one a draw above."""
    cdef Py_ssize_t i = 1
    cdef uint32_t first_range, both
    if count > 65535:
        while i < count:
            _swap(values, i, below(engine, <uint32_t> (i + 1)))
            i += 1
        return
    if count > 0 and count % 2 == 0:
        _swap(values, 1, below(engine, 2))
        i = 2
    while i < count:
        first_range = <uint32_t> (i + 1)
        both = below(engine, first_range * (first_range + 1))
        _swap(values, i, both // (first_range + 1))
        _swap(values, i + 1, both % (first_range + 1))
        i += 2


def draws(uint64_t seed_value, int count):
    """The first ``count`` outputs of the engine, uint32[count] (for tests)."""
    cdef Engine engine
    seed(&engine, seed_value)
    return np.array([draw(&engine) for _ in range(count)], dtype=np.uint32)


def permutation(uint64_t seed_value, int count):
    """A shuffled int32[count] of 0..count-1 (for tests)."""
    cdef Engine engine
    seed(&engine, seed_value)
    cdef int32_t[::1] values = np.arange(count, dtype=np.int32)
    if count:
        shuffle(&engine, &values[0], count)
    return np.asarray(values)
