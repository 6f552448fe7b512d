// From the heads of an SSD to detections: scores, boxes, per-class non-maximum suppression and the
// best of all classes. Heads are fp32, channels-last; channel c * per_pixel + d holds class (or
// coordinate) c of default box d, and default boxes are numbered d * pixels + pixel from `first`.

constexpr int WARP = 32;

struct Best { float score; int place; };

__device__ inline Best better(Best a, Best b) {
    return b.score > a.score || (b.score == a.score && b.place < a.place) ? b : a;
}

__device__ inline Best best_of_warp(Best mine) {
    for (int apart = WARP / 2; apart; apart /= 2) {
        const float score = __shfl_down_sync(~0u, mine.score, apart);
        const int place = __shfl_down_sync(~0u, mine.place, apart);
        if (threadIdx.x % WARP + apart < WARP) mine = better(mine, Best{score, place});
    }
    return mine;
}

// The best of all threads, for each of them.
__device__ inline Best best_of_block(Best mine) {
    __shared__ Best parts[WARP], whole;
    mine = best_of_warp(mine);
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < int(blockDim.x) / WARP; ++warp) mine = better(mine, parts[warp]);
        whole = mine;
    }
    __syncthreads();
    return whole;
}

struct Corners { float top, left, bottom, right; };

__device__ inline float inside(float value) { return fminf(fmaxf(value, 0.f), 1.f); }

// More than `overlap` of the two boxes' union is in both.
__device__ inline bool same_object(Corners a, Corners b, float overlap) {
    const float height = fminf(a.bottom, b.bottom) - fmaxf(a.top, b.top);
    const float width = fminf(a.right, b.right) - fmaxf(a.left, b.left);
    if (height <= 0.f || width <= 0.f) return false;
    const float both = height * width;
    const float first = (a.bottom - a.top) * (a.right - a.left);
    const float second = (b.bottom - b.top) * (b.right - b.left);
    if (first <= 0.f || second <= 0.f) return false;
    return both / (first + second - both) > overlap;
}

// One level's scores [batch][classes][boxes], the background left out, and corners [batch][boxes].
// Anchors [4][boxes]: centre y and x, height, width. A thread has one default box of a pixel, and
// every gridDim.y-th class.
extern "C" __global__ void predict(
    const float* logits, const float* offsets, const float* anchors, float* scores,
    Corners* corners, int batch, int pixels, int per_pixel, int logit_pitch, int offset_pitch,
    int classes, int boxes, int first, int softmax, float centre_scale, float size_scale)
{
    const int here = blockIdx.x * blockDim.x + threadIdx.x, own = pixels * per_pixel;
    if (here >= batch * own) return;
    const int image = here / own, d = here % own / pixels, pixel = here % pixels;
    const int place = first + d * pixels + pixel;
    const long long cell = (long long)image * pixels + pixel;

    const float* logit = logits + cell * logit_pitch + d;
    float* score = scores + (long long)image * classes * boxes + place;
    float most = 0.f, sum = 1.f;
    if (softmax) {
        most = logit[0];
        for (int c = 1; c <= classes; ++c) most = fmaxf(most, logit[c * per_pixel]);
        sum = 0.f;
        for (int c = 0; c <= classes; ++c) sum += expf(logit[c * per_pixel] - most);
    }
    for (int c = 1 + blockIdx.y; c <= classes; c += gridDim.y) {
        const float x = logit[c * per_pixel];
        score[(long long)(c - 1) * boxes] = softmax ? expf(x - most) / sum : 1.f / (1.f + expf(-x));
    }
    if (blockIdx.y) return;

    const float* offset = offsets + cell * offset_pitch + d;
    const float height = anchors[2 * boxes + place], width = anchors[3 * boxes + place];
    const float y = offset[0] * centre_scale * height + anchors[place];
    const float x = offset[per_pixel] * centre_scale * width + anchors[boxes + place];
    const float tall = expf(offset[2 * per_pixel] * size_scale) * height * 0.5f;
    const float wide = expf(offset[3 * per_pixel] * size_scale) * width * 0.5f;
    corners[(long long)image * boxes + place] =
        Corners{inside(y - tall), inside(x - wide), inside(y + tall), inside(x + wide)};
}

// A class of an image's block: the `most` best boxes over `threshold` that overlap no better one,
// the best first; kept scores are 0 after the last. `candidates`: space for [batch][classes][boxes].
extern "C" __global__ void suppress(
    const float* scores, const Corners* corners, int* candidates, float* kept_scores,
    int* kept_places, int classes, int boxes, int most, float threshold, float overlap)
{
    __shared__ int count;
    const int image = blockIdx.y;
    const long long row = (long long)image * classes + blockIdx.x;
    scores += row * boxes;
    candidates += row * boxes;
    corners += (long long)image * boxes;
    kept_scores += row * most;
    kept_places += row * most;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int place = threadIdx.x; place < boxes; place += blockDim.x)
        if (scores[place] > threshold) candidates[atomicAdd(&count, 1)] = place;
    __syncthreads();
    int kept = 0;
    Corners last{};
    for (; kept < most; ++kept) {
        Best mine{0.f, boxes};
        for (int i = threadIdx.x; i < count; i += blockDim.x) {  // each thread's own, every time
            const int place = candidates[i];
            if (place < 0) continue;
            if (kept && same_object(last, corners[place], overlap)) candidates[i] = -1;
            else mine = better(mine, Best{scores[place], place});
        }
        const Best best = best_of_block(mine);
        if (best.place == boxes) break;
        last = corners[best.place];
        // One without an area overlaps nothing, not even itself.
        for (int i = threadIdx.x; i < count; i += blockDim.x)
            if (candidates[i] == best.place) candidates[i] = -1;
        if (threadIdx.x == 0) {
            kept_scores[kept] = best.score;
            kept_places[kept] = best.place;
        }
    }
    for (int i = kept + threadIdx.x; i < most; i += blockDim.x) kept_scores[i] = 0.f;
}

// How many of `most` falling scores are higher than `score`; `or_equal`: or equal to it.
__device__ inline int higher(const float* falling, int most, float score, bool or_equal) {
    // Most classes have nothing: one look is enough.
    int from = 0, to = falling[0] > score || (or_equal && falling[0] == score) ? most : 0;
    while (from < to) {
        const int middle = (from + to) / 2;
        const float other = falling[middle];
        if (other > score || (or_equal && other == score)) from = middle + 1;
        else to = middle;
    }
    return from;
}

// The `most` best of an image's (y) kept boxes of all classes, as rows [image, top, left, bottom,
// right, score, category], zeros but for the image, which the host fills in. Each box counts the
// better ones of the other classes, whose scores fall: that is its row.
extern "C" __global__ void rank(
    const float* kept_scores, const int* kept_places, const Corners* corners,
    const float* categories, float* rows, int classes, int boxes, int most)
{
    __shared__ int count;
    const int image = blockIdx.y;
    kept_scores += (long long)image * classes * most;
    kept_places += (long long)image * classes * most;
    corners += (long long)image * boxes;
    rows += (long long)image * most * 7;
    const int threads = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < classes * most; i += threads) {
        const float score = kept_scores[i];
        if (score <= 0.f) continue;
        const int own = i / most;
        int place = i % most;
        for (int c = 0; c < classes && place < most; ++c)
            if (c != own) place += higher(kept_scores + c * most, most, score, c < own);
        if (place >= most) continue;
        const Corners box = corners[kept_places[i]];
        float* row = rows + place * 7;
        row[0] = 0.f;
        row[1] = box.top;
        row[2] = box.left;
        row[3] = box.bottom;
        row[4] = box.right;
        row[5] = score;
        row[6] = categories[own];
    }
    if (blockIdx.x) return;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int c = threadIdx.x; c < classes; c += blockDim.x)
        atomicAdd(&count, higher(kept_scores + c * most, most, 0.f, false));
    __syncthreads();
    for (int i = 7 * count + threadIdx.x; i < 7 * most; i += blockDim.x) rows[i] = 0.f;
}
