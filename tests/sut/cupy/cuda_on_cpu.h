// As much of CUDA as detection.cu uses, on the processor: the threads of a block are real threads,
// which meet at barriers; blocks run one after the other.
#include <atomic>
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

struct Place { unsigned x, y; };
static thread_local Place threadIdx, blockIdx;
static Place blockDim;
static std::barrier<>* meeting;

static void __syncthreads() { meeting->arrive_and_wait(); }

template <typename T> T __shfl_down_sync(unsigned, T value, int apart) {
    static T shown[1024];
    shown[threadIdx.x] = value;
    meeting->arrive_and_wait();
    const unsigned from = threadIdx.x + apart;
    const T got = from < blockDim.x ? shown[from] : value;
    meeting->arrive_and_wait();
    return got;
}

static int atomicAdd(int* place, int more) { return std::atomic_ref<int>(*place).fetch_add(more); }

template <typename Kernel> void launch(Place grid, unsigned threads, Kernel kernel) {
    std::barrier<> every(threads);
    meeting = &every;
    blockDim = {threads, 1};
    std::vector<std::thread> block;
    for (unsigned t = 0; t < threads; ++t)
        block.emplace_back([=, &every] {
            threadIdx = {t, 0};
            for (unsigned y = 0; y < grid.y; ++y)
                for (unsigned x = 0; x < grid.x; ++x) {
                    blockIdx = {x, y};
                    kernel();
                    every.arrive_and_wait();
                }
        });
    for (auto& thread : block) thread.join();
}

#include "detection.cu"

// The kernels as functions of a library: grid, threads of a block, and their own arguments.
extern "C" {

void run_predict(
    unsigned x, unsigned y, unsigned threads, const float* logits, const float* offsets,
    const float* anchors, float* scores, Corners* corners, int batch, int pixels, int per_pixel,
    int logit_pitch, int offset_pitch, int classes, int boxes, int first, int softmax,
    float centre_scale, float size_scale)
{
    launch({x, y}, threads, [=] {
        predict(logits, offsets, anchors, scores, corners, batch, pixels, per_pixel, logit_pitch,
                offset_pitch, classes, boxes, first, softmax, centre_scale, size_scale);
    });
}

void run_suppress(
    unsigned x, unsigned y, unsigned threads, const float* scores, const Corners* corners,
    int* candidates, float* kept_scores, int* kept_places, int classes, int boxes, int most,
    float threshold, float overlap)
{
    launch({x, y}, threads, [=] {
        suppress(scores, corners, candidates, kept_scores, kept_places, classes, boxes, most,
                 threshold, overlap);
    });
}

void run_rank(
    unsigned x, unsigned y, unsigned threads, const float* kept_scores, const int* kept_places,
    const Corners* corners, const float* categories, float* rows, int classes, int boxes, int most)
{
    launch({x, y}, threads, [=] {
        rank(kept_scores, kept_places, corners, categories, rows, classes, boxes, most);
    });
}

}
