// Layers that cuDNN has no fast graph for. Tensors lie channels-last; what scales and zeros bytes need
// is part of weights and biases.
constexpr float LOWEST = -3.402823466e38f;

// A network's first convolution: stride 2, three channels, stored as four, in images that are
// padded already. A kernel row of one pixel is STEPS * 16 halves that follow one another in
// memory, and the next pixel's begin 16 bytes later: tensor cores read both where they lie.
// The images are gathered on the way: image i of the batch is samples[rows[i]]. A block makes the same
// TALL x WIDE pixels of several images, and has the next one's on its way while it computes.
// Filters: [OUT][KH * STEPS * 16 + 8], their order permuted (sut.cupy.steps), so that a thread
// ends up with OUT / 4 channels in a row.
template <typename T, int KH, int STEPS, int OUT, int TALL, int WIDE>
__global__ void __launch_bounds__(256, OUT > 32 ? 2 : 3) stem(
    const __half* samples, const int* rows, const __half* filters, const float* bias, T* y, int batch,
    int64 image_halves, int pitch, int out_height, int out_width, float low, float high)
{
    constexpr int K = KH * STEPS * 16 + 8, TILES = TALL * WIDE / 16, PAIR = 2;
    constexpr int HEIGHT = (TALL - 1) * 2 + KH, CHUNKS = WIDE - 1 + 2 * STEPS;
    static_assert(TALL * WIDE % (16 * PAIR) == 0);
    extern __shared__ uint4 memory[];
    uint4* const weights = memory;
    uint4* const images = memory + OUT * K / 8;  // two of HEIGHT * CHUNKS
    const int left = blockIdx.x * WIDE, top = blockIdx.y * TALL, apart = gridDim.z;
    const int lines = (out_height - 1) * 2 + KH;
    int of = blockIdx.z, row = of < batch ? rows[of] : 0;
    auto load = [&](int turn) {
        const __half* source = samples + int64(row) * image_halves;
        for (int i = threadIdx.x; i < HEIGHT * CHUNKS && of < batch; i += blockDim.x) {
            const int line = 2 * top + i / CHUNKS, chunk = left + i % CHUNKS;
            const bool inside = line < lines && chunk * 8 < pitch;
            fetch(images + turn * HEIGHT * CHUNKS + i,
                  inside ? source + int64(line) * pitch + chunk * 8 : samples, inside);
        }
        end_of_fetches();
        of += apart;
        row = of < batch ? rows[of] : 0;  // may lie in the host's memory: used much later
    };
    for (int i = threadIdx.x; i < OUT * K / 8; i += blockDim.x)
        fetch(weights + i, filters + i * 8, true);
    load(0);

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const uint4* const filter = weights + ((lane / 16) * 8 + lane % 8) * (K / 8) + lane / 8 % 2;
    for (int image = blockIdx.z, turn = 0; image < batch; image += apart, turn = 1 - turn) {
        wait_for_fetches();
        __syncthreads();  // and all have done with what the next ones will lie on
        load(1 - turn);
        const uint4* const pixels = images + turn * HEIGHT * CHUNKS + lane / 16;
        for (int first = warp * PAIR; first < TILES; first += warps * PAIR) {
            float sums[PAIR][OUT / 8][4] = {};
            const uint4* from[PAIR];
            for (int t = 0; t < PAIR; ++t) {
                const int pixel = (first + t) * 16 + lane % 16;
                from[t] = pixels + pixel / WIDE * 2 * CHUNKS + pixel % WIDE;
            }
            for (int ky = 0; ky < KH; ++ky)
                #pragma unroll
                for (int step = 0; step < STEPS; ++step) {
                    unsigned a[PAIR][4];
                    for (int t = 0; t < PAIR; ++t)
                        load_matrices(a[t], from[t] + ky * CHUNKS + step * 2);
                    #pragma unroll
                    for (int n = 0; n < OUT / 16; ++n) {
                        unsigned b[4];
                        load_matrices(b, filter + n * 2 * K + (ky * STEPS + step) * 2);
                        #pragma unroll
                        for (int t = 0; t < PAIR; ++t) {
                            multiply(__half(), sums[t][2 * n], a[t], b[0], b[1]);
                            multiply(__half(), sums[t][2 * n + 1], a[t], b[2], b[3]);
                        }
                    }
                }
            const int channel = lane % 4 * (OUT / 4);
            #pragma unroll
            for (int t = 0; t < PAIR; ++t)
                #pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int pixel = (first + t) * 16 + lane / 4 + 8 * half;
                    const int oy = top + pixel / WIDE, ox = left + pixel % WIDE;
                    if (oy >= out_height || ox >= out_width) continue;
                    constexpr int N = OUT % 32 ? 4 : 8;
                    float parts[OUT / 4 / N][N];
                    #pragma unroll
                    for (int j = 0; j < OUT / 8; ++j)
                        #pragma unroll
                        for (int e = 0; e < 2; ++e) {
                            const int place = 2 * j + e;
                            const float sum = sums[t][j][2 * half + e] + bias[channel + place];
                            parts[place / N][place % N] = fminf(fmaxf(sum, low), high);
                        }
                    T* to = y + ((int64(image) * out_height + oy) * out_width + ox) * OUT + channel;
                    #pragma unroll
                    for (int i = 0; i < OUT / 4 / N; ++i)
                        *(Words<T, N>*)(to + i * N) = words_of<T>(parts[i]);
                }
        }
    }
}

// A 3x3 convolution of each channel by itself; filters [9][channels]. A thread has eight channels
// of WIDE neighbouring pixels. Beyond the edges lies ``zero``, the number that stands for 0.
template <typename T, int STRIDE, int WIDE>
__global__ void __launch_bounds__(256, 4 - sizeof(T)) depthwise(
    const T* x, const float* filters, const float* bias, T* y, int batch, int channels,
    int height, int width, int out_height, int out_width, int top, int left, float zero,
    float low, float high)
{
    constexpr int COLUMNS = (WIDE - 1) * STRIDE + 3;
    using Eight = Words<T, 8>;
    const unsigned groups = channels / 8, tiles = (out_width + WIDE - 1) / WIDE;
    unsigned place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= batch * out_height * tiles * groups) return;
    const int channel = int(place % groups) * 8;
    place /= groups;
    const int first = int(place % tiles) * WIDE;
    place /= tiles;
    const int oy = int(place % out_height), image = int(place / out_height);
    float zeros[8], sums[WIDE][8];
    for (int j = 0; j < 8; ++j) {
        zeros[j] = zero;
        for (int i = 0; i < WIDE; ++i) sums[i][j] = bias[channel + j];
    }
    const Eight beyond = words_of<T>(zeros);
    #pragma unroll
    for (int ky = 0; ky < 3; ++ky) {
        const int iy = oy * STRIDE + ky - top;
        const bool line_inside = iy >= 0 && iy < height;
        const T* line = x + (int64(image) * height + iy) * width * channels + channel;
        Eight line_read[COLUMNS];  // all of the line is asked for before any of it is used
        #pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            const int ix = first * STRIDE + column - left;
            const bool inside = line_inside && ix >= 0 && ix < width;
            line_read[column] = inside ? *(const Eight*)(line + ix * channels) : beyond;
        }
        float filter[3][8];
        #pragma unroll
        for (int kx = 0; kx < 3; ++kx) {
            const float4* from = (const float4*)(filters + (ky * 3 + kx) * channels + channel);
            *(float4*)&filter[kx][0] = from[0];
            *(float4*)&filter[kx][4] = from[1];
        }
        #pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            float values[8];
            read(line_read[column], values);
            #pragma unroll
            for (int kx = 0; kx < 3; ++kx)
                if (column >= kx && (column - kx) % STRIDE == 0 && (column - kx) / STRIDE < WIDE)
                    for (int j = 0; j < 8; ++j)
                        sums[(column - kx) / STRIDE][j] += values[j] * filter[kx][j];
        }
    }
    T* to = y + ((int64(image) * out_height + oy) * out_width + first) * channels + channel;
    #pragma unroll
    for (int i = 0; i < WIDE; ++i) {
        if (first + i >= out_width) break;
        for (int j = 0; j < 8; ++j) sums[i][j] = fminf(fmaxf(sums[i][j], low), high);
        *(Eight*)(to + i * channels) = words_of<T>(sums[i]);
    }
}

// The largest of words' numbers, each in its own place.
template <typename T> struct Largest {
    unsigned word;
    __device__ Largest(unsigned first) : word(first) {}
    __device__ void take(unsigned other) { word = largest(T(), word, other); }
    __device__ unsigned found() const { return word; }
};
// Of two numbers of 16 bits the upper byte decides.
template <> struct Largest<int8> {
    unsigned odd, even;
    __device__ Largest(unsigned first) : odd(first), even(first << 8) {}
    __device__ void take(unsigned other) {
        odd = __vmaxs2(odd, other), even = __vmaxs2(even, other << 8);
    }
    __device__ unsigned found() const { return __byte_perm(odd, even, 0x3715); }
};

// The largest value of each window; a thread has 16 bytes of channels.
template <typename T, int KERNEL>
__global__ void __launch_bounds__(256) max_pool(
    const T* x, T* y, int batch, int channels, int height, int width, int out_height,
    int out_width, int stride, int top, int left)
{
    using Line = Words<T, 16 / sizeof(T)>;
    const unsigned groups = channels * sizeof(T) / 16, to = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned place = to;
    if (place >= batch * out_height * out_width * groups) return;
    const int group = int(place % groups);
    place /= groups;
    const int ox = int(place % out_width);
    place /= out_width;
    const int oy = int(place % out_height), image = int(place / out_height);
    // Beyond an edge the pixel at the edge is read again: it is in the window, too.
    Line lines[KERNEL * KERNEL];
    #pragma unroll
    for (int i = 0; i < KERNEL * KERNEL; ++i) {
        const int iy = min(max(oy * stride - top + i / KERNEL, 0), height - 1);
        const int ix = min(max(ox * stride - left + i % KERNEL, 0), width - 1);
        lines[i] = ((const Line*)x)[((int64(image) * height + iy) * width + ix) * groups + group];
    }
    #pragma unroll
    for (int w = 0; w < 4; ++w) {
        Largest<T> most(lines[0].word[w]);
        #pragma unroll
        for (int i = 1; i < KERNEL * KERNEL; ++i) most.take(lines[i].word[w]);
        lines[0].word[w] = most.found();
    }
    ((Line*)y)[to] = lines[0];
}

// Mean over all pixels, less zero, times factor; a block has 32 times eight channels, in eight parts.
template <typename T>
__global__ void __launch_bounds__(256) average(
    const T* x, __half* y, int channels, int pixels, float zero, float factor)
{
    __shared__ float parts[8][32][9];
    const int column = threadIdx.x % 32, part = threadIdx.x / 32, image = blockIdx.y;
    const int channel = (blockIdx.x * 32 + column) * 8;
    float sums[8] = {};
    if (channel < channels)
        for (int pixel = part; pixel < pixels; pixel += 8) {
            const T* from = x + (int64(image) * pixels + pixel) * channels + channel;
            float values[8];
            read(*(const Words<T, 8>*)from, values);
            for (int j = 0; j < 8; ++j) sums[j] += values[j];
        }
    for (int j = 0; j < 8; ++j) parts[part][column][j] = sums[j];
    __syncthreads();
    if (part || channel >= channels) return;
    for (int j = 0; j < 8; ++j) {
        float sum = 0;
        for (int other = 0; other < 8; ++other) sum += parts[other][column][j];
        sums[j] = (sum / float(pixels) - zero) * factor;
    }
    *(Words<__half, 8>*)(y + int64(image) * channels + channel) = words_of<__half>(sums);
}

// Numbers of 8 bits as halves, for convolutions whose weights 8 bits are too few for; each thread takes
// eight. With a power of two as the factor nothing is rounded.
__global__ void halved(const int8* x, __half* y, int eights, float zero, float factor)
{
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= eights) return;
    float values[8];
    read(((const Words<int8, 8>*)x)[i], values);
    for (int j = 0; j < 8; ++j) values[j] = (values[j] - zero) * factor;
    ((Words<__half, 8>*)y)[i] = words_of<__half>(values);
}

// The place of each row's largest value, the first of several; one warp has a row.
__global__ void arg_max(const float* x, int64* y, int batch, int count, int pitch)
{
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= batch) return;
    float most = LOWEST;
    int best = 0;
    for (int i = lane; i < count; i += 32) {
        const float value = x[int64(row) * pitch + i];
        if (value > most) { most = value; best = i; }
    }
    for (int apart = 16; apart; apart /= 2) {
        const float value = __shfl_down_sync(~0u, most, apart);
        const int place = __shfl_down_sync(~0u, best, apart);
        if (value > most || (value == most && place < best)) { most = value; best = place; }
    }
    if (lane == 0) y[row] = best;
}
