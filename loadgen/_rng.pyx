"""Random numbers of the traffic: the 32-bit Mersenne twister and four distributions.

The C++ standard fixes the engine but not the distributions, so those of libstdc++ (GCC 11 and
later), which the official LoadGen is built with, are written out here: the same seeds give the
same traffic on every compiler. Each ``Engine`` belongs to one thread.
"""

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


cdef void refill(Engine* engine) noexcept nogil:
    """Make the next 624 words of state."""
    cdef uint32_t* state = engine.state
    cdef int i
    for i in range(227):
        state[i] = _mixed(state[i], state[i + 1], state[i + 397])
    for i in range(227, 623):
        state[i] = _mixed(state[i], state[i + 1], state[i - 227])
    state[623] = _mixed(state[623], state[0], state[396])
    engine.position = 0


cdef inline uint32_t _mixed(uint32_t high, uint32_t low, uint32_t far) noexcept nogil:
    cdef uint32_t mixed = (high & <uint32_t> 0x80000000) | (low & <uint32_t> 0x7FFFFFFF)
    return far ^ (mixed >> 1) ^ (<uint32_t> 0x9908B0DF & (0 - (mixed & 1)))


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


cdef void skip_shuffle(Engine* engine, Py_ssize_t count) noexcept nogil:
    """Draw what ``shuffle`` would draw for so many values."""
    cdef Py_ssize_t i = 1
    if count > 65535:
        while i < count:
            below(engine, <uint32_t> (i + 1))
            i += 1
        return
    if count > 0 and count % 2 == 0:
        below(engine, 2)
        i = 2
    while i < count:
        below(engine, <uint32_t> (i + 1) * <uint32_t> (i + 2))
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


def draws_after(uint64_t seed_value, int count, bint skipped):
    """The next 3 outputs after a shuffle of ``count`` values, done or skipped (for tests)."""
    cdef Engine engine
    seed(&engine, seed_value)
    cdef int32_t[::1] values = np.arange(count, dtype=np.int32)
    if skipped:
        skip_shuffle(&engine, count)
    elif count:
        shuffle(&engine, &values[0], count)
    return [draw(&engine) for _ in range(3)]
