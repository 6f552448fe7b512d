// 3x3 convolutions at stride 1 of few channels: up to 64 bytes of each pixel in, up to 64 channels out.
// A block keeps all weights, and of an image the pixels of a tile and those around it: the nine
// products read the same ones. It goes on from tile to tile, the next one on its way. Beyond the edges
// lies the number 0.

template <typename T, int TALL, int WIDE, int WARPS>
__global__ void __launch_bounds__(WARPS * 32, 2) window(
    const T* x, const T* w, const float* scale, const float* bias, T* y, int images, int inputs,
    int outputs, int height, int width, float low, float high)
{
    constexpr int THREADS = WARPS * 32, TILES = 2, COLUMNS = 64, TAPS = 9;
    constexpr int EACH = 16 / sizeof(T), GROUPS = 16 / EACH;
    constexpr int AROUND = WIDE + 2, TILE = (TALL + 2) * AROUND * LINES;
    static_assert(TALL * WIDE % (WARPS * TILES * 16) == 0);
    using Line = Words<T, EACH>;
    extern __shared__ uint4 memory[];
    uint4* const weights = memory;
    uint4* const pixels = weights + TAPS * COLUMNS * LINES;  // two of TILE
    float* const units = (float*)(pixels + 2 * TILE);
    float* const shifts = units + COLUMNS;

    const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int across = (width + WIDE - 1) / WIDE, down = (height + TALL - 1) / TALL;
    for (int i = tid; i < COLUMNS; i += THREADS) {
        units[i] = i < outputs && sizeof(T) == 1 ? scale[i] : 1.f;
        shifts[i] = i < outputs ? bias[i] : 0.f;
    }
    for (int i = tid; i < TAPS * COLUMNS * LINES; i += THREADS) {
        const int line = i % LINES, place = i / LINES % COLUMNS, tap = i / (LINES * COLUMNS);
        const int n = column_in<T>(place);
        const bool real = n < outputs && line * EACH < inputs;
        fetch(weights + tap * COLUMNS * LINES + place_of(place, line),
              real ? w + (n * TAPS + tap) * inputs + line * EACH : w, real);
    }
    auto load = [&](int at, int turn) {
        if (at < images * across * down) {
            const int left = at % across * WIDE - 1, top = at / across % down * TALL - 1;
            const T* image = x + int64(at / across / down) * height * width * inputs;
            for (int i = tid; i < TILE; i += THREADS) {
                const int line = i % LINES, pixel = i / LINES;
                const int iy = top + pixel / AROUND, ix = left + pixel % AROUND;
                const bool inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
                const bool real = inside && line * EACH < inputs;
                fetch(pixels + turn * TILE + place_of(pixel, line),
                      real ? image + int64(iy * width + ix) * inputs + line * EACH : x, real);
            }
        }
        end_of_fetches();
    };
    int at = blockIdx.x;
    load(at, 0);
    for (int turn = 0; at < images * across * down; at += gridDim.x, turn = 1 - turn) {
        wait_for_fetches();
        __syncthreads();  // and all have done with what the next ones will lie on
        load(at + gridDim.x, 1 - turn);
        const uint4* const from = pixels + turn * TILE;
        const int left = at % across * WIDE, top = at / across % down * TALL;
        T* const image = y + int64(at / across / down) * height * width * outputs;
        for (int first = warp * TILES * 16; first < TALL * WIDE; first += WARPS * TILES * 16) {
            typename Of<T>::Sum sums[TILES][8][4] = {};
            int corner[TILES];
            #pragma unroll
            for (int t = 0; t < TILES; ++t) {
                const int pixel = first + t * 16 + lane % 16;
                corner[t] = pixel / WIDE * AROUND + pixel % WIDE;
            }
            #pragma unroll
            for (int tap = 0; tap < TAPS; ++tap)
                #pragma unroll
                for (int step = 0; step < 2; ++step) {
                    unsigned a[TILES][4];
                    #pragma unroll
                    for (int t = 0; t < TILES; ++t)
                        load_matrices(a[t], from + place_of(corner[t] + tap / 3 * AROUND + tap % 3,
                                                            step * 2 + lane / 16));
                    multiply_columns(T(), sums, a, weights + tap * COLUMNS * LINES, step);
                }
            #pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
                const int n = first_column<T>() + g * 4 * EACH;
                Line lines[TILES * 2];
                finish<T, false>(sums, g, units + n, shifts + n, 0.f, low, high, lines);
                #pragma unroll
                for (int i = 0; i < TILES * 2; ++i) {
                    const int pixel = first + lane / 4 + i * 8;
                    const int oy = top + pixel / WIDE, ox = left + pixel % WIDE;
                    if (oy < height && ox < width && n < outputs)
                        *(Line*)(image + int64(oy * width + ox) * outputs + n) = lines[i];
                }
            }
        }
    }
}
