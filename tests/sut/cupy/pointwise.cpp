// The kernels of pointwise.cu as functions of a library.
#include "tensor_cores_on_cpu.h"

#include "pointwise.cu"

#define VARIANT(name, ...) INSTANCE(name, pointwise<__VA_ARGS__>)
#define TILES(name, T, PARTS, ADDS)                \
    VARIANT(name##_2_4_1, T, 2, 4, 1, PARTS, ADDS) \
    VARIANT(name##_2_2_2, T, 2, 2, 2, PARTS, ADDS) \
    VARIANT(name##_1_4_2, T, 1, 4, 2, PARTS, ADDS) \
    VARIANT(name##_1_4_1, T, 1, 4, 1, PARTS, ADDS)

TILES(int8_1_adds, int8, 1, true)
TILES(int8_1, int8, 1, false)
TILES(int8_4, int8, 4, false)
TILES(fp16_2_adds, __half, 2, true)
TILES(fp16_2, __half, 2, false)
