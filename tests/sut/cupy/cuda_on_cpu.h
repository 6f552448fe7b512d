// As much of CUDA as our kernels use, on the processor: the threads of a block take turns, each one
// up to its next barrier or shuffle, in rising or falling order: what depends on the order lacks a
// barrier. Blocks run one after the other.
#include <algorithm>
#include <bit>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __expf(x) std::exp(x)  // the C library has one of that name

struct Place { unsigned x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
static Place threadIdx, blockIdx, blockDim, gridDim;

using std::max, std::min;

constexpr unsigned LANES = 32, STACK = 1 << 16;

struct Thread {
    jmp_buf state;
    std::unique_ptr<char[]> stack{new char[STACK]};
    int waits = -1;  // 1: for its warp, 2: for the block, -1: it has ended
};

static std::vector<Thread> threads;
static jmp_buf scheduler;
static bool falling = false;
static void (*body)(const void*);
static const void* given;

static void wait_for(int whom) {
    const unsigned me = threadIdx.x;
    threads[me].waits = whom;
    if (!_setjmp(threads[me].state)) _longjmp(scheduler, 1);
    threadIdx.x = me;
}

[[maybe_unused]] static void __syncthreads() { wait_for(2); }
[[maybe_unused]] static void __syncwarp() { wait_for(1); }
[[maybe_unused]] static void __threadfence() {}

template <typename T> T shuffled(T value, unsigned from) {
    static T shown[1024];
    shown[threadIdx.x] = value;
    wait_for(1);
    const T got = from / LANES == threadIdx.x / LANES && from < blockDim.x ? shown[from] : value;
    wait_for(1);
    return got;
}

template <typename T> T __shfl_down_sync(unsigned, T value, int apart) {
    return shuffled(value, threadIdx.x + apart);
}

template <typename T> T __shfl_xor_sync(unsigned, T value, int mask) {
    return shuffled(value, threadIdx.x ^ mask);
}

template <typename T> T __shfl_up_sync(unsigned, T value, int apart) {
    const unsigned lane = threadIdx.x % LANES;
    return shuffled(value, int(lane) < apart ? threadIdx.x : threadIdx.x - apart);
}

template <typename T> T __shfl_sync(unsigned, T value, int lane) {
    return shuffled(value, threadIdx.x / LANES * LANES + lane);
}

template <typename Join> int reduced(int value, Join join) {
    for (int apart = LANES / 2; apart; apart /= 2)
        value = join(value, shuffled(value, threadIdx.x ^ apart));
    return value;
}

[[maybe_unused]] static int __reduce_max_sync(unsigned, int value) {
    return reduced(value, [](int a, int b) { return std::max(a, b); });
}

[[maybe_unused]] static int __reduce_min_sync(unsigned, int value) {
    return reduced(value, [](int a, int b) { return std::min(a, b); });
}

[[maybe_unused]] static float __fdividef(float a, float b) { return a / b; }
[[maybe_unused]] static int __float_as_int(float x) { return std::bit_cast<int>(x); }
[[maybe_unused]] static float __int_as_float(int x) { return std::bit_cast<float>(x); }
[[maybe_unused]] static int atomicMax(int* place, int other) { return std::exchange(*place, std::max(*place, other)); }
[[maybe_unused]] static int atomicAdd(int* place, int more) { return std::exchange(*place, *place + more); }

// A thread's life: block after block.
static void live() {
    while (true) {
        wait_for(-1);
        body(given);
    }
}

static void make(unsigned count) {
    if (threads.size() >= count) return;
    threads = std::vector<Thread>(count);
    for (unsigned t = 0; t < count; ++t) {
        ucontext_t own;
        getcontext(&own);
        own.uc_stack.ss_sp = threads[t].stack.get();
        own.uc_stack.ss_size = STACK;
        makecontext(&own, live, 0);
        threadIdx = {t, 0, 0};
        if (!_setjmp(scheduler)) setcontext(&own);
    }
}

// Lets go all of [first, end) if each one waits for `whom` or has ended.
static bool released(unsigned first, unsigned end, int whom) {
    bool any = false;
    for (unsigned t = first; t < end; ++t) {
        if (threads[t].waits != whom && threads[t].waits != -1) return false;
        any |= threads[t].waits == whom;
    }
    for (unsigned t = first; any && t < end; ++t)
        if (threads[t].waits == whom) threads[t].waits = 0;
    return any;
}

static void run_block() {
    const unsigned count = blockDim.x;
    for (unsigned t = 0; t < count; ++t) threads[t].waits = 0;
    while (true) {
        bool ran = false;
        for (unsigned i = 0; i < count; ++i) {
            const unsigned t = falling ? count - 1 - i : i;
            if (threads[t].waits) continue;
            threadIdx = {t, 0, 0};
            if (!_setjmp(scheduler)) _longjmp(threads[t].state, 1);
            ran = true;
        }
        for (unsigned first = 0; first < count; first += LANES)
            ran |= released(first, first + LANES < count ? first + LANES : count, 1);
        ran |= released(0, count, 2);
        if (ran) continue;
        for (unsigned t = 0; t < count; ++t)
            if (threads[t].waits != -1) {
                std::fputs("threads of a block wait for each other\n", stderr);
                std::abort();
            }
        return;
    }
}

template <typename Kernel> void launch(Place grid, unsigned count, Kernel kernel) {
    make(count);
    blockDim = {count, 1, 1};
    gridDim = grid;
    body = [](const void* what) { (*static_cast<const Kernel*>(what))(); };
    given = &kernel;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                blockIdx = {x, y, z};
                run_block();
            }
}

// Calls `kernel` with what `arguments` point to, as the driver does.
template <typename... Types, std::size_t... At>
void call(void (*kernel)(Types...), void** arguments, std::index_sequence<At...>)
{
    kernel(*static_cast<std::remove_cv_t<Types>*>(arguments[At])...);
}

template <typename... Types> auto bound(void (*kernel)(Types...), void** arguments) {
    return [=] { call(kernel, arguments, std::index_sequence_for<Types...>{}); };
}

#define KERNEL(name)                                                                    \
    extern "C" void run_##name(const unsigned* grid, unsigned count, void** arguments) { \
        launch({grid[0], grid[1], grid[2]}, count, bound(name, arguments));             \
    }
#define INSTANCE(name, ...)                   \
    static constexpr auto name = __VA_ARGS__; \
    KERNEL(name)

extern "C" void take_turns(int from_last) { falling = from_last; }
