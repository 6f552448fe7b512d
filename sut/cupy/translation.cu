// GNMT: what lies between its matrix products. An LSTM's cells, attention, and the beam search.
//
// A sentence has BEAMS beams, which keep their places; a beam that goes on has a row in the decoder's
// arrays, a new one in each step (`beam_of`), and `origin` names the row that its state is in. Rows of
// a batch come in no order. Encoder arrays are by time, then by sentence.

#ifdef __CUDACC__
#include <cuda_fp16.h>
using number = __half;
#else
using number = float;
#endif

constexpr int WARP = 32, EIGHT = 8, GROUP = 4;

struct alignas(sizeof(number) * EIGHT) Eight { number x[EIGHT]; };
struct alignas(16) Single { float x[EIGHT]; };

// What all kernels of a batch know, on the device.
struct Control { int step, batch, limit, live, next, open, next_open, ended; };

// How candidates are ranked: log-probability / lp + coverage_weight * cp.
struct Ranking {
    float length_shift, length_unit, length_power, coverage_weight, least_covered, impossible;
    int start, end;
};

struct Best { float score; int place; };

// Whole numbers in the order of floating-point ones, and back.
__device__ inline int ordered(float x) {
    const int bits = __float_as_int(x + 0.f);  // both zeros are one
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}
__device__ inline float unordered(int x) { return __int_as_float(x < 0 ? x ^ 0x7fffffff : x); }

__device__ inline int read(const int& shared) { return *const_cast<const volatile int*>(&shared); }

__device__ inline Best better(Best a, Best b) {
    return b.score > a.score || (b.score == a.score && b.place < a.place) ? b : a;
}

// The best of the warp, for each of its threads.
__device__ inline Best best_of_warp(Best mine) {
    for (int apart = WARP / 2; apart; apart /= 2)
        mine = better(mine, Best{__shfl_xor_sync(~0u, mine.score, apart),
                                 __shfl_xor_sync(~0u, mine.place, apart)});
    return mine;
}

__device__ inline float sum_of_warp(float mine) {
    for (int apart = WARP / 2; apart; apart /= 2) mine += __shfl_xor_sync(~0u, mine, apart);
    return mine;
}

__device__ inline Eight eight(const number* from) { return *reinterpret_cast<const Eight*>(from); }
__device__ inline void put(number* to, Eight what) { *reinterpret_cast<Eight*>(to) = what; }
__device__ inline Single single(const float* from) { return *reinterpret_cast<const Single*>(from); }
__device__ inline void put(float* to, Single what) { *reinterpret_cast<Single*>(to) = what; }
__device__ inline float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }
__device__ inline float tangent(float x) { return 1.f - __fdividef(2.f, 1.f + __expf(2.f * x)); }

#ifdef __CUDACC__
__device__ inline float quick_tanh(float x) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#else
inline float quick_tanh(float x) { return tanhf(x); }
#endif

// A unit's new cell and output, of its gates in ONNX's order: input, output, forget, cell.
__device__ inline float unit(float i, float o, float f, float g, float& cell) {
    cell = sigmoid(f) * cell + sigmoid(i) * tangent(g);
    return sigmoid(o) * tangent(cell);
}

// Embeddings [steps][batch][units] of the sentences `rows` of `samples`, whose rows are length and
// tokens; 0 after their ends. Grid: steps, batch.
extern "C" __global__ void embed(
    const int* samples, const int* rows, const number* embedding, number* out, int* length,
    int pitch, int units)
{
    const int t = blockIdx.x, n = blockIdx.y;
    const int* sample = samples + (long long)rows[n] * pitch;
    if (t == 0 && threadIdx.x == 0) length[n] = sample[0];
    const bool inside = t < sample[0];
    const number* from = embedding + (long long)(inside ? sample[1 + t] : 0) * units;
    out += ((long long)t * gridDim.y + n) * units;
    for (int u = threadIdx.x * EIGHT; u < units; u += blockDim.x * EIGHT)
        put(out + u, inside ? eight(from + u) : Eight{});
}

// One time step of an encoder's layer, for each direction (grid's y) and eight units a thread.
// inputs [steps][batch][ways][4][units], recurrent [ways][batch][4][units], bias [ways][4][units],
// cells and hidden [ways][batch][units], residual [steps][batch][units] or null, out
// [steps][batch][ways][units]: 0 after a sentence's end, where its states stay.
extern "C" __global__ void encode(
    const number* inputs, const float* recurrent, const float* bias, float* cells, number* hidden,
    const number* residual, number* out, const int* length, int batch, int units, int steps,
    int step)
{
    const int each = units / EIGHT, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * each) return;
    const int n = i / each, u = i % each * EIGHT, way = blockIdx.y, ways = gridDim.y;
    const int t = way ? steps - 1 - step : step;
    const long long row = (long long)t * batch + n, state = ((long long)way * batch + n) * units + u;
    Eight said{};
    if (t < length[n]) {
        const number* x = inputs + (row * ways + way) * 4 * units + u;
        const float* r = recurrent + ((long long)way * batch + n) * 4 * units + u;
        const float* b = bias + way * 4 * units + u;
        Single gates[4];
        for (int gate = 0; gate < 4; ++gate) {
            const Eight own = eight(x + gate * units);
            const Single shift = single(b + gate * units);
            const Single more = step ? single(r + gate * units) : Single{};
            for (int k = 0; k < EIGHT; ++k)
                gates[gate].x[k] = float(own.x[k]) + shift.x[k] + more.x[k];
        }
        const Eight before = residual ? eight(residual + row * units + u) : Eight{};
        Single cell = step ? single(cells + state) : Single{};
        Eight h;
        for (int k = 0; k < EIGHT; ++k) {
            const float y =
                unit(gates[0].x[k], gates[1].x[k], gates[2].x[k], gates[3].x[k], cell.x[k]);
            h.x[k] = number(y);
            said.x[k] = number(y + float(before.x[k]));
        }
        put(cells + state, cell);
        put(hidden + state, h);
    } else if (step == 0) {
        put(cells + state, Single{});
        put(hidden + state, said);
    }
    put(out + (row * ways + way) * units + u, said);
}

// Before the first step: each of the `count` sentences has a row, for its first beam; the others
// may not go on. Grid: sentences, layers; encoded_* [layers][batch][units] become the decoder's
// states [layers][rows][units].
extern "C" __global__ void begin(
    const number* encoded_hidden, const float* encoded_cells, const int* length, const int* count,
    number* hidden, float* cells, number* context, float* covered, Control* control, int* beam_of,
    int* origin, int* row_of, int* token, int* finished, float* total, float* spoken, float* paid,
    int* ended, int units, int rows, int longest, int steps_per_token, const Ranking* rules)
{
    const Ranking ranking = *rules;
    const int n = blockIdx.x, layer = blockIdx.y, batch = gridDim.x;
    const long long from = ((long long)layer * batch + n) * units;
    const long long to = ((long long)layer * rows + n) * units;
    for (int u = threadIdx.x; u < units; u += blockDim.x) {
        hidden[to + u] = encoded_hidden[from + u];
        cells[to + u] = encoded_cells[from + u];
        if (layer == 0) context[(long long)n * units + u] = number(0.f);
    }
    if (layer) return;
    for (int s = threadIdx.x; s < longest; s += blockDim.x) covered[n * longest + s] = 0.f;
    for (int k = threadIdx.x; k < BEAMS; k += blockDim.x) {
        const int beam = n * BEAMS + k;
        row_of[beam] = n;
        token[beam] = ranking.start;
        finished[beam] = k > 0;
        total[beam] = k ? ranking.impossible : 0.f;
        spoken[beam] = 0.f;
        paid[beam] = 0.f;
    }
    if (threadIdx.x) return;
    const int sentences = *count;
    beam_of[n] = n * BEAMS;
    origin[n] = n;
    ended[n] = n >= sentences;
    if (n) return;
    int most = 0;
    for (int i = 0; i < sentences; ++i) most = length[i] > most ? length[i] : most;
    *control = Control{0, batch, most * steps_per_token, sentences, 0, sentences, 0, 0};
}

// What the decoder's layers are given, [layers][rows][3 units]: a beam's last word, context and
// state to the first; the state, behind what comes later, to each other. Grid: rows.
extern "C" __global__ void take(
    const number* embedding, const int* token, const int* beam_of, const int* origin,
    const number* context, const number* hidden, number* given, const Control* control, int units,
    int rows, int layers)
{
    const int row = blockIdx.x, each = units / EIGHT;
    if (row >= control->live) return;
    const long long word = token[beam_of[row]], from = origin[row];
    for (int i = threadIdx.x; i < (layers + 2) * each; i += blockDim.x) {
        const int part = i / each, layer = part < 2 ? 0 : part - 2, u = i % each * EIGHT;
        const number* source = part == 0   ? embedding + word * units
                               : part == 1 ? context + from * units
                                           : hidden + ((long long)layer * rows + from) * units;
        const int place = part < 2 ? part : 2;
        put(given + (((long long)layer * rows + row) * 3 + place) * units + u, eight(source + u));
    }
}

// The cells of one decoder layer. gates [rows][4][units]; cells are read where the beam comes from.
// `out` has `pitch` numbers a row, and so has `residual`, if there is one.
extern "C" __global__ void decode(
    const number* gates, const float* bias, const float* before, float* after, const int* origin,
    number* hidden, const number* residual, int residual_pitch, number* out, int pitch,
    const Control* control, int units)
{
    const int each = units / EIGHT, i = blockIdx.x * blockDim.x + threadIdx.x;
    const int row = i / each, u = i % each * EIGHT;
    if (row >= control->live) return;
    const long long at = (long long)row * units + u, from = (long long)origin[row] * units + u;
    Single x[4], cell = single(before + from);
    for (int gate = 0; gate < 4; ++gate) {
        const Eight own = eight(gates + ((long long)row * 4 + gate) * units + u);
        const Single shift = single(bias + gate * units + u);
        for (int k = 0; k < EIGHT; ++k) x[gate].x[k] = float(own.x[k]) + shift.x[k];
    }
    const Eight last =
        residual ? eight(residual + (long long)row * residual_pitch + u) : Eight{};
    Eight h, said;
    for (int k = 0; k < EIGHT; ++k) {
        const float y = unit(x[0].x[k], x[1].x[k], x[2].x[k], x[3].x[k], cell.x[k]);
        h.x[k] = number(y);
        said.x[k] = number(y + float(last.x[k]));
    }
    put(after + at, cell);
    put(hidden + at, h);
    put(out + (long long)row * pitch + u, said);
}

// Normalised Bahdanau attention of one row (block): where it looks among its sentence's `keys`, what
// it sees of their `values`, and what it has covered: all it has looked at. `scores`: space for
// [rows][longest]. What it sees goes to `context` and to the layers after the first.
extern "C" __global__ void attend(
    const number* query, const float* shift, const float* direction, const number* keys,
    const number* values, const int* length, const int* beam_of, const int* origin,
    const float* before, float* after, float* scores, float* paid, number* context, number* given,
    const Control* control, int units, int longest, int rows, int layers, float least_covered)
{
    const int row = blockIdx.x, lane = threadIdx.x % WARP;
    if (row >= control->live) return;
    const int beam = beam_of[row], sentence = beam / BEAMS, places = length[sentence];
    const long long stride = (long long)control->batch * units;
    keys += (long long)sentence * units;
    values += (long long)sentence * units;
    query += (long long)row * units;
    scores += (long long)row * longest;
    before += (long long)origin[row] * longest;
    after += (long long)row * longest;

    for (int s = threadIdx.x / WARP * GROUP; s < places; s += blockDim.x / WARP * GROUP) {
        float score[GROUP] = {};
        for (int u = lane * EIGHT; u < units; u += WARP * EIGHT) {
            const Eight asked = eight(query + u);
            const Single v = single(direction + u);
            Single q = single(shift + u);
            for (int k = 0; k < EIGHT; ++k) q.x[k] += float(asked.x[k]);
            for (int i = 0; i < GROUP && s + i < places; ++i) {
                const Eight key = eight(keys + (s + i) * stride + u);
                for (int k = 0; k < EIGHT; ++k)
                    score[i] += v.x[k] * quick_tanh(float(key.x[k]) + q.x[k]);
            }
        }
        for (int i = 0; i < GROUP; ++i) {
            const float whole = sum_of_warp(score[i]);
            if (lane == 0 && s + i < places) scores[s + i] = whole;
        }
    }
    __syncthreads();
    float most = scores[0], sum = 0.f;
    for (int s = 1; s < places; ++s) most = fmaxf(most, scores[s]);
    for (int s = 0; s < places; ++s) sum += expf(scores[s] - most);
    __syncthreads();
    for (int s = threadIdx.x; s < places; s += blockDim.x) {
        scores[s] = expf(scores[s] - most) / sum;
        after[s] = before[s] + scores[s];
    }
    __syncthreads();
    for (int u = threadIdx.x * EIGHT; u < units; u += blockDim.x * EIGHT) {
        float seen[EIGHT] = {};
        for (int s = 0; s < places; ++s) {
            const Eight value = eight(values + s * stride + u);
            for (int k = 0; k < EIGHT; ++k) seen[k] += scores[s] * float(value.x[k]);
        }
        Eight made;
        for (int k = 0; k < EIGHT; ++k) made.x[k] = number(seen[k]);
        put(context + (long long)row * units + u, made);
        for (int layer = 1; layer < layers; ++layer)
            put(given + (((long long)layer * rows + row) * 3 + 1) * units + u, made);
    }
    if (threadIdx.x >= WARP) return;
    float log = 0.f;
    for (int s = lane; s < places; s += WARP)
        log += logf(fminf(fmaxf(after[s], least_covered), 1.f));
    log = sum_of_warp(log);
    if (lane == 0) paid[beam] = log;
}

constexpr float LOWEST = -3.402823466e38f;
constexpr int HELD = 16, WARPS = 32, NONE = -2147483647 - 1;

// Whether a candidate comes before the last of those kept so far.
__device__ inline bool before(Best one, Best last) {
    return one.score > last.score || (one.score == last.score && one.place < last.place);
}

// The BEAMS likeliest tokens of each row (block), the likeliest first and of equals the one with the
// lower number, and their log-probabilities: ids and logs [beams][BEAMS]. Each warp keeps the best
// of what it has seen, in order, one in each of its first threads; `enough` is what a logit needs to
// be among the best of any. Each thread holds HELD logits at a time.
extern "C" __global__ void candidates(
    const float* logits, const int* beam_of, int* ids, float* logs, const Control* control,
    int vocabulary, int pitch)
{
    __shared__ Best kept[WARPS * BEAMS];
    __shared__ float sums[WARPS], highest[WARPS];
    __shared__ int enough;
    const int row = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int warps = blockDim.x / WARP;
    if (row >= control->live) return;
    logits += (long long)row * pitch;
    if (threadIdx.x == 0) enough = ordered(LOWEST);
    __syncthreads();
    Best own{LOWEST, vocabulary}, last = own;
    float most = LOWEST, sum = 0.f;
    for (int from = 0; from < vocabulary; from += blockDim.x * HELD) {
        float x[HELD];
        const auto place = [&](int i) {
            return from + (i / 4 * int(blockDim.x) + int(threadIdx.x)) * 4 + i % 4;
        };
        for (int i = 0; i < HELD; i += 4) {  // the pitch is a multiple of four
            float4 four{LOWEST, LOWEST, LOWEST, LOWEST};
            if (place(i) < vocabulary) four = *reinterpret_cast<const float4*>(logits + place(i));
            x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
        }
        float here = LOWEST;
        for (int i = 0; i < HELD; ++i) {
            if (place(i) >= vocabulary) x[i] = LOWEST;
            here = fmaxf(here, x[i]);
        }
        const float higher = fmaxf(most, here);
        sum *= __expf(most - higher);
        most = higher;
        for (int i = 0; i < HELD; ++i) sum += __expf(x[i] - most);
        while (true) {
            const int key = ordered(here);
            const int highest_key = __reduce_max_sync(~0u, key < read(enough) ? NONE : key);
            if (highest_key < ordered(last.score)) break;
            const float score = unordered(highest_key);
            int mine = vocabulary;
            if (key == highest_key)
                for (int i = HELD - 1; i >= 0; --i)
                    if (x[i] == score) mine = place(i);
            const Best best{score, __reduce_min_sync(~0u, mine)};
            if (!before(best, last)) break;
            if (mine == best.place) {
                here = LOWEST;
                for (int i = 0; i < HELD; ++i) {
                    if (place(i) == best.place) x[i] = LOWEST;
                    here = fmaxf(here, x[i]);
                }
            }
            // Those it comes before move one thread on.
            const Best previous{__shfl_up_sync(~0u, own.score, 1), __shfl_up_sync(~0u, own.place, 1)};
            if (before(best, own)) own = lane && before(best, previous) ? previous : best;
            last = Best{__shfl_sync(~0u, own.score, BEAMS - 1),
                        __shfl_sync(~0u, own.place, BEAMS - 1)};
        }
        if (lane == 0) atomicMax(&enough, ordered(last.score));
    }
    float whole = most;
    for (int apart = WARP / 2; apart; apart /= 2)
        whole = fmaxf(whole, __shfl_xor_sync(~0u, whole, apart));
    sum = sum_of_warp(sum * __expf(most - whole));
    if (lane == 0) highest[warp] = whole, sums[warp] = sum;
    if (lane < BEAMS) kept[warp * BEAMS + lane] = own;
    __syncthreads();
    if (warp) return;
    for (int k = 0; k < BEAMS; ++k) {
        Best mine{LOWEST, vocabulary};
        for (int i = lane; i < warps * BEAMS; i += WARP) mine = better(mine, kept[i]);
        const Best best = best_of_warp(mine);
        for (int i = lane; i < warps * BEAMS; i += WARP)
            if (kept[i].place == best.place) kept[i] = Best{LOWEST, vocabulary};
        if (lane == k) own = best;
    }
    if (lane >= BEAMS) return;
    for (int i = 0; i < warps; ++i) whole = fmaxf(whole, highest[i]);
    sum = 0.f;
    for (int i = 0; i < warps; ++i) sum += sums[i] * __expf(highest[i] - whole);
    const int at = beam_of[row] * BEAMS + lane;
    ids[at] = own.place < vocabulary ? own.place : lane;  // no number: nothing is likely
    logs[at] = own.score - whole - logf(sum);
}

// The best of all candidates of a sentence (block, one warp) go on, each with its parent's past; a
// finished beam has one candidate, itself. Those that go on get rows. The last block to come ends
// the step and tells the host, in `open`, how many sentences go on.
extern "C" __global__ void choose(
    const int* ids, const float* logs, int* token, int* finished, float* total, float* spoken,
    float* paid, int* row_of, int* beam_of, int* origin, int* ended, int* said, int* parents,
    int beams, volatile int* open, Control* control, const Ranking* rules)
{
    constexpr int ALL = BEAMS * BEAMS, MINE = (ALL + WARP - 1) / WARP;
    __shared__ int goes_on[BEAMS], first;
    const Ranking ranking = *rules;
    const int n = blockIdx.x, lane = threadIdx.x, own = n * BEAMS, step = control->step;
    if (n < control->batch && !ended[n]) {
        Best all[MINE];
        for (int i = 0; i < MINE; ++i) {
            const int place = i * WARP + lane, beam = own + place / BEAMS, rank = place % BEAMS;
            all[i] = Best{LOWEST, ALL};
            if (place >= ALL) continue;
            const bool over = finished[beam];
            const int id = over ? ranking.end : ids[own * BEAMS + place];
            const float gain = !over ? logs[own * BEAMS + place] : rank ? ranking.impossible : 0.f;
            const float words = spoken[beam] + (id != ranking.end);
            const float lp = powf(
                (words + ranking.length_shift) / ranking.length_unit, ranking.length_power);
            const float score = (total[beam] + gain) / lp + ranking.coverage_weight * paid[beam];
            all[i] = Best{score, place};
        }
        int chosen = 0;
        for (int k = 0; k < BEAMS; ++k) {
            Best best{LOWEST, ALL};
            for (int i = 0; i < MINE; ++i) best = better(best, all[i]);
            best = best_of_warp(best);
            for (int i = 0; i < MINE; ++i)
                if (all[i].place == best.place) all[i] = Best{LOWEST, ALL};
            if (lane == k) chosen = best.place < ALL ? best.place : k;
        }
        const int parent = own + chosen / BEAMS, at = own * BEAMS + chosen;
        int id = ranking.end, from = 0;
        float sum = 0.f, words = 0.f, cover = 0.f;
        if (lane < BEAMS) {
            sum = total[parent], words = spoken[parent], cover = paid[parent];
            from = row_of[parent];
            if (finished[parent]) {
                if (chosen % BEAMS) sum += ranking.impossible;
            } else {
                id = ids[at], sum += logs[at], words += id != ranking.end;
            }
            goes_on[lane] = id != ranking.end && step + 1 < control->limit;
        }
        __syncwarp();
        if (lane == 0) {
            int count = 0;
            for (int k = 0; k < BEAMS; ++k) count += goes_on[k];
            first = count ? atomicAdd(&control->next, count) : 0;
            if (count) atomicAdd(&control->next_open, 1);
            else ended[n] = step + 1;
        }
        __syncwarp();
        if (lane < BEAMS) {
            const int beam = own + lane;
            int row = first;
            for (int k = 0; k < lane; ++k) row += goes_on[k];
            total[beam] = sum, spoken[beam] = words, paid[beam] = cover;
            token[beam] = id, finished[beam] = id == ranking.end;
            if (goes_on[lane]) row_of[beam] = row, beam_of[row] = beam, origin[row] = from;
            said[(long long)step * beams + beam] = id;
            parents[(long long)step * beams + beam] = chosen / BEAMS;
        }
    }
    __syncwarp();
    if (lane) return;
    __threadfence();
    if (atomicAdd(&control->ended, 1) < int(gridDim.x) - 1) return;
    __threadfence();
    control->step = step + 1;
    control->live = atomicAdd(&control->next, 0);
    control->open = atomicAdd(&control->next_open, 0);
    *open = control->open;
    control->next = control->next_open = control->ended = 0;
}

// The best beam of each sentence (block): its tokens, and the end after them, in answers [n][most].
extern "C" __global__ void answer(
    const int* ended, const int* said, const int* parents, int* answers, int beams, int most,
    int end)
{
    const int n = blockIdx.x;
    answers += (long long)n * most;
    for (int t = ended[n] + int(threadIdx.x); t < most; t += blockDim.x) answers[t] = end;
    if (threadIdx.x) return;
    for (int t = ended[n] - 1, k = 0; t >= 0; --t) {
        const long long at = (long long)t * beams + n * BEAMS + k;
        answers[t] = said[at];
        k = parents[at];
    }
}
