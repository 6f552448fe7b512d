// Tensor cores, and what feeds them, by what they are documented to do: by the lanes of a warp. And
// numbers in half precision.
#include "cuda_on_cpu.h"

#include <cstdint>
#include <cstring>
#define __launch_bounds__(...)

using __half = _Float16;
struct alignas(16) uint4 { unsigned x, y, z, w; };
uint4 memory[1 << 14];  // what blocks share

static unsigned __byte_perm(unsigned low, unsigned high, unsigned selectors) {
    const std::uint64_t both = low | std::uint64_t(high) << 32;
    unsigned made = 0;
    for (int i = 0; i < 4; ++i) made |= unsigned(both >> 8 * (selectors >> 4 * i & 7) & 255) << 8 * i;
    return made;
}

static void read_word(__half, unsigned from, float (&to)[2]) {
    __half both[2];
    std::memcpy(both, &from, 4);
    to[0] = both[0], to[1] = both[1];
}
static unsigned word_of(__half, const float (&from)[2]) {
    const __half both[2] = {__half(from[0]), __half(from[1])};
    return std::bit_cast<unsigned>(both);
}

static unsigned largest(__half, unsigned a, unsigned b) {
    float left[2], right[2];
    read_word(__half(), a, left);
    read_word(__half(), b, right);
    for (int i = 0; i < 2; ++i) left[i] = std::max(left[i], right[i]);
    return word_of(__half(), left);
}
static unsigned __vmaxs2(unsigned a, unsigned b) {
    using Short = std::int16_t;
    const Short upper = std::max(Short(a >> 16), Short(b >> 16)), lower = std::max(Short(a), Short(b));
    return unsigned(std::uint16_t(upper)) << 16 | std::uint16_t(lower);
}

// Matrix i of four has its rows' addresses in lanes 8 i and following; a lane gets two halves of one.
static void load_matrices(unsigned (&to)[4], const uint4* from) {
    const unsigned lane = threadIdx.x % LANES, warp = threadIdx.x - lane;
    for (int i = 0; i < 4; ++i) {
        const uint4* row = shuffled(from, warp + 8 * i + lane / 4);
        std::memcpy(&to[i], (const char*)row + lane % 4 * 4, 4);
    }
}

template <typename T, typename Sum> void add_products(T, Sum& sum, unsigned a, unsigned b) {
    T left[4 / sizeof(T)], right[4 / sizeof(T)];
    std::memcpy(left, &a, 4);
    std::memcpy(right, &b, 4);
    for (unsigned i = 0; i < 4 / sizeof(T); ++i) sum += Sum(left[i]) * Sum(right[i]);
}

// c += a * b; a: 16 rows of 32 bytes, b: 8 columns of 32 bytes. A lane has four bytes at a time.
template <typename T, typename Sum>
void multiply(T type, Sum (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const unsigned lane = threadIdx.x % LANES, warp = threadIdx.x - lane;
    const unsigned b[2] = {b0, b1};
    for (unsigned half = 0; half < 2; ++half)
        for (unsigned word = 0; word < 4; ++word) {
            unsigned row[2], column[2];
            for (unsigned i = 0; i < 2; ++i) {
                row[i] = shuffled(a[2 * half + i], warp + lane / 4 * 4 + word);
                column[i] = shuffled(b[half], warp + (lane % 4 * 2 + i) * 4 + word);
            }
            for (unsigned i = 0; i < 4; ++i) add_products(type, c[i], row[i / 2], column[i % 2]);
        }
}

static void fetch(uint4* to, const void* from, bool real) {
    if (real) std::memcpy(to, from, 16);
    else *to = uint4{};
}
static void end_of_fetches() {}
static void wait_for_fetches() {}

#include "numbers.cu"
#include "tensor_cores.cu"
