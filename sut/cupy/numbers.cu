// Numbers as they are stored, several in a word of 32 bits, and in single precision. T is __half,
// __nv_bfloat16 or a signed byte.
typedef signed char int8;
typedef long long int64;

template <typename T> constexpr int HELD = 4 / sizeof(T);

template <typename T, int N> struct alignas(N * sizeof(T)) Words { unsigned word[N / HELD<T>]; };

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

__device__ inline void read_word(__half, unsigned from, float (&to)[2]) {
    const float2 both = __half22float2(*(const __half2*)&from);
    to[0] = both.x, to[1] = both.y;
}
__device__ inline void read_word(__nv_bfloat16, unsigned from, float (&to)[2]) {
    to[0] = __uint_as_float(from << 16), to[1] = __uint_as_float(from & 0xffff0000u);
}
__device__ inline unsigned word_of(__half, const float (&from)[2]) {
    const __half2 both = __floats2half2_rn(from[0], from[1]);
    return *(const unsigned*)&both;
}
__device__ inline unsigned word_of(__nv_bfloat16, const float (&from)[2]) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(from[0], from[1]);
    return *(const unsigned*)&both;
}
__device__ inline unsigned largest(__half, unsigned a, unsigned b) {
    const __half2 most = __hmax2(*(const __half2*)&a, *(const __half2*)&b);
    return *(const unsigned*)&most;
}
__device__ inline unsigned largest(__nv_bfloat16, unsigned a, unsigned b) {
    const __nv_bfloat162 most = __hmax2(*(const __nv_bfloat162*)&a, *(const __nv_bfloat162*)&b);
    return *(const unsigned*)&most;
}
#endif

__device__ inline void read_word(int8, unsigned from, float (&to)[4]) {
    for (int i = 0; i < 4; ++i) {  // 2^23 + 128 + the number: a byte put under a float's exponent
        const unsigned bits = __byte_perm(from ^ 0x80808080u, 0x4b000000u, 0x7440 + i);
        to[i] = __int_as_float(int(bits)) - 8388736.f;
    }
}
// Of numbers from -128 to 127. Added to 1.5 * 2^23 one is rounded to a whole one, in the lowest bits.
__device__ inline unsigned word_of(int8, const float (&from)[4]) {
    unsigned bits[4];
    for (int i = 0; i < 4; ++i) bits[i] = unsigned(__float_as_int(from[i] + 12582912.f));
    return __byte_perm(__byte_perm(bits[0], bits[1], 0x40), __byte_perm(bits[2], bits[3], 0x40), 0x5410);
}

template <typename T, int N>
__device__ inline void read(const Words<T, N>& from, float (&to)[N]) {
    #pragma unroll
    for (int i = 0; i < N / HELD<T>; ++i)
        read_word(T(), from.word[i], *(float (*)[HELD<T>])&to[i * HELD<T>]);
}
template <typename T, int N> __device__ inline Words<T, N> words_of(const float (&from)[N]) {
    Words<T, N> to;
    #pragma unroll
    for (int i = 0; i < N / HELD<T>; ++i)
        to.word[i] = word_of(T(), *(const float (*)[HELD<T>])&from[i * HELD<T>]);
    return to;
}
