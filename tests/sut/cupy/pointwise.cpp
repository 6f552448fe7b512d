// The kernels of pointwise.cu as functions of a library, named as their instances are.
#include "tensor_cores_on_cpu.h"

#include "pointwise.cu"

#define TILE(T, A, B, C, PARTS, ADDS) \
    INSTANCE(pointwise_##T##_##A##_##B##_##C##_##PARTS##_##ADDS, pointwise<T, A, B, C, PARTS, ADDS>)
#define TILES(T, PARTS, ADDS)      \
    TILE(T, 2, 4, 1, PARTS, ADDS) \
    TILE(T, 2, 2, 2, PARTS, ADDS) \
    TILE(T, 1, 4, 2, PARTS, ADDS) \
    TILE(T, 1, 4, 1, PARTS, ADDS)

TILES(int8, 1, true)
TILES(int8, 1, false)
TILES(int8, 4, false)
TILES(__half, 2, true)
TILES(__half, 2, false)
