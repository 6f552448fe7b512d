// Products on tensor cores, by warps, and what brings operands to them: shared memory, filled while
// others compute.
#ifdef __CUDACC__
__device__ inline unsigned address(const void* shared) {
    return unsigned(__cvta_generic_to_shared(shared));
}

__device__ inline void load_matrices(unsigned (&to)[4], const uint4* from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address(from)));
}

#define MULTIPLY(T, SUM, SHAPE, LETTER)                                                              \
    __device__ inline void multiply(T, SUM (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) { \
        asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                     : "+" LETTER(c[0]), "+" LETTER(c[1]), "+" LETTER(c[2]), "+" LETTER(c[3])        \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));               \
    }
MULTIPLY(__half, float, "m16n8k16.row.col.f32.f16.f16.f32", "f")
MULTIPLY(__nv_bfloat16, float, "m16n8k16.row.col.f32.bf16.bf16.f32", "f")
MULTIPLY(int8, int, "m16n8k32.row.col.s32.s8.s8.s32", "r")

// 16 bytes from memory to shared memory behind the threads' back, zeros in their place if not `real`.
__device__ inline void fetch(uint4* to, const void* from, bool real) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(address(to)), "l"(__cvta_generic_to_global(from)), "r"(real ? 16 : 0));
}
__device__ inline void end_of_fetches() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ inline void wait_for_fetches() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
#endif

template <typename T> struct Of { using Sum = float; };
template <> struct Of<int8> { using Sum = int; };

constexpr int LINES = 4;  // of 16 bytes, in a part of a row or a column

// Rows of a part whose lines are exchanged so that those of eight rows lie in different banks.
__device__ inline int place_of(int row, int line) { return row * LINES + (line ^ (row / 2 % LINES)); }

// The column that is kept in a place: so that a thread ends up with 16 bytes of neighbours.
template <typename T> __device__ inline int column_in(int place) {
    constexpr int EACH = 16 / sizeof(T);
    const int inside = place % (4 * EACH);
    return place - inside + inside % 8 / 2 * EACH + inside / 8 * 2 + inside % 2;
}
// The first of the neighbours that a thread has, of 64 columns and in each group of 4 * 16 bytes.
template <typename T> __device__ inline int first_column() { return threadIdx.x % 4 * (16 / sizeof(T)); }

// 16 rows times 64 columns, of which `columns` is a part, by 32 bytes of each: its lines from 2 * step.
template <typename T, int TILES, typename Sum>
__device__ inline void multiply_columns(
    T type, Sum (&sums)[TILES][8][4], const unsigned (&rows)[TILES][4], const uint4* columns, int step)
{
    const int lane = threadIdx.x % 32;
    #pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
        unsigned b[4];
        const int place = pair * 16 + lane / 16 * 8 + lane % 8;
        load_matrices(b, columns + place_of(place, step * 2 + lane / 8 % 2));
        #pragma unroll
        for (int t = 0; t < TILES; ++t) {
            multiply(type, sums[t][2 * pair], rows[t], b[0], b[1]);
            multiply(type, sums[t][2 * pair + 1], rows[t], b[2], b[3]);
        }
    }
}

// Results of group g of a thread's columns, whose units and shifts are the first ones, in the place of
// what is added to them: a line for each of its rows, lane / 4 and 8 more of each tile.
template <typename T, bool ADDS, int TILES, typename Sum>
__device__ inline void finish(
    const Sum (&sums)[TILES][8][4], int g, const float* units, const float* shifts, float share,
    float low, float high, Words<T, 16 / sizeof(T)> (&lines)[2 * TILES])
{
    constexpr int N = HELD<T>;
    #pragma unroll
    for (int word = 0; word < 4; ++word)
        #pragma unroll
        for (int i = 0; i < TILES * 2; ++i) {
            float value[N], more[N];
            if (ADDS) read_word(T(), lines[i].word[word], more);
            #pragma unroll
            for (int e = 0; e < N; ++e) {
                const int place = word * N + e;
                const float sum = float(sums[i / 2][g * 2 * N + place / 2][i % 2 * 2 + place % 2]);
                value[e] = sizeof(T) == 1 ? fmaf(sum, units[place], shifts[place]) : sum + shifts[place];
                if (ADDS) value[e] = sizeof(T) == 1 ? fmaf(more[e], share, value[e]) : more[e] + value[e];
                value[e] = fminf(fmaxf(value[e], low), high);
            }
            lines[i].word[word] = word_of(T(), value);
        }
}
