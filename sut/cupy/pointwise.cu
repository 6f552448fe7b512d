// Convolutions with a kernel of one pixel, which are matrix products, on tensor cores:
//     y[m][n] = clip(scale[n] * sum of x[m][k] * w[n][k] over k + bias[n] + share * residual[m][n])
// Scale and share are there for bytes only. With few inputs most of the time goes to reading a residual
// and writing the result. So a block keeps its weights and goes on from rows to rows, while what it
// will need next is on its way; and a thread ends up with 16 bytes of neighbouring channels, since the
// weights' rows are dealt out in that order.

// A block of TALL * WIDE warps has TALL * TILES * 16 rows (pixels) at a time and WIDE * 64 columns
// (channels); the inputs are up to PARTS * 64 bytes.
template <typename T, int TILES, int TALL, int WIDE, int PARTS, bool ADDS>
__global__ void __launch_bounds__(TALL * WIDE * 32, (TILES == 1 ? 24 : 16) / (TALL * WIDE)) pointwise(
    const T* x, const T* w, const float* scale, const float* bias, const float* share,
    const T* residual, T* y, int rows, int inputs, int outputs, int height, int width,
    int out_height, int out_width, int stride, float low, float high)
{
    constexpr int THREADS = TALL * WIDE * 32, ROWS = TALL * TILES * 16, COLUMNS = WIDE * 64;
    constexpr int EACH = 16 / sizeof(T), GROUPS = 16 / EACH, DEALT = THREADS / LINES;
    constexpr int OWN = ADDS ? TILES * 2 * GROUPS : 0, IMAGE = PARTS * ROWS * LINES;
    static_assert(ROWS % DEALT == 0 && COLUMNS % DEALT == 0);
    using Line = Words<T, EACH>;
    extern __shared__ uint4 memory[];
    uint4* const weights = memory;
    uint4* const images = weights + PARTS * COLUMNS * LINES;  // two of IMAGE
    uint4* const held = images + 2 * IMAGE;  // of the residual, two times each thread's own lines
    float* const units = (float*)(held + 2 * OWN * THREADS);
    float* const shifts = units + COLUMNS;

    const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32, line = tid % LINES;
    const int blocks = (outputs + COLUMNS - 1) / COLUMNS, ends = (rows + ROWS - 1) / ROWS;
    const int left = int(blockIdx.x % blocks) * COLUMNS, apart = int(gridDim.x / blocks);
    const int own_row = warp / WIDE * TILES * 16 + lane / 4;
    const int own_column = warp % WIDE * 64 + first_column<T>();

    for (int i = tid; i < COLUMNS; i += THREADS) {
        const bool real = left + i < outputs;
        units[i] = real && sizeof(T) == 1 ? scale[left + i] : 1.f;
        shifts[i] = real ? bias[left + i] : 0.f;
    }
    for (int place = tid / LINES; place < COLUMNS; place += DEALT) {
        const int n = left + column_in<T>(place);
        #pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            const int k = (part * LINES + line) * EACH;
            const bool real = n < outputs && k < inputs;
            fetch(weights + part * COLUMNS * LINES + place_of(place, line),
                  real ? w + int64(n) * inputs + k : w, real);
        }
    }
    auto load = [&](int at, int turn) {
        if (at < ends) {
            #pragma unroll
            for (int row = tid / LINES; row < ROWS; row += DEALT) {
                const int m = at * ROWS + row;
                int64 from = m;
                if (stride > 1) {
                    const int ox = m % out_width, above = m / out_width;
                    const int oy = above % out_height, of = above / out_height;
                    from = (int64(of) * height + oy * stride) * width + ox * stride;
                }
                const T* source = x + from * inputs;
                #pragma unroll
                for (int part = 0; part < PARTS; ++part) {
                    const int k = (part * LINES + line) * EACH;
                    const bool real = m < rows && k < inputs;
                    fetch(images + turn * IMAGE + part * ROWS * LINES + place_of(row, line),
                          real ? source + k : x, real);
                }
            }
            #pragma unroll
            for (int i = 0; i < OWN; ++i) {
                const int m = at * ROWS + own_row + i / GROUPS * 8;
                const int n = left + own_column + i % GROUPS * 4 * EACH;
                const bool real = m < rows && n < outputs;
                fetch(held + (turn * OWN + i) * THREADS + tid,
                      real ? residual + int64(m) * outputs + n : residual, real);
            }
        }
        end_of_fetches();
    };

    const float added = ADDS && sizeof(T) == 1 ? *share : 1.f;
    int at = int(blockIdx.x / blocks);
    load(at, 0);
    for (int turn = 0; at < ends; at += apart, turn = 1 - turn) {
        wait_for_fetches();
        __syncthreads();  // and all have done with what the next ones will lie on
        load(at + apart, 1 - turn);
        typename Of<T>::Sum sums[TILES][8][4] = {};
        #pragma unroll
        for (int step = 0; step < 2 * PARTS; ++step) {
            const uint4* const rows_from = images + turn * IMAGE + step / 2 * ROWS * LINES;
            unsigned a[TILES][4];
            #pragma unroll
            for (int t = 0; t < TILES; ++t)
                load_matrices(a[t], rows_from + place_of((warp / WIDE * TILES + t) * 16 + lane % 16,
                                                         step % 2 * 2 + lane / 16));
            multiply_columns(T(), sums, a, weights + (step / 2 * COLUMNS + warp % WIDE * 64) * LINES,
                             step % 2);
        }
        #pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const int column = own_column + g * 4 * EACH;
            Line lines[TILES * 2];
            #pragma unroll
            for (int i = 0; i < TILES * 2 && ADDS; ++i)
                lines[i] = *(const Line*)(held + (turn * OWN + i * GROUPS + g) * THREADS + tid);
            finish<T, ADDS>(sums, g, units + column, shifts + column, added, low, high, lines);
            #pragma unroll
            for (int i = 0; i < TILES * 2; ++i) {
                const int m = at * ROWS + own_row + i * 8, n = left + column;
                if (m < rows && n < outputs) *(Line*)(y + int64(m) * outputs + n) = lines[i];
            }
        }
    }
}
