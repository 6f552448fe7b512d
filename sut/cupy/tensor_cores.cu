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
