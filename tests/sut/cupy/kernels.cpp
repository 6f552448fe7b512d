// The kernels of kernels.cu as functions of a library, named as their instances are.
#include "tensor_cores_on_cpu.h"

#include "kernels.cu"

INSTANCE(stem___half_7_2_16_8_32, stem<__half, 7, 2, 16, 8, 32>)
INSTANCE(stem_int8_7_2_16_8_32, stem<int8, 7, 2, 16, 8, 32>)
INSTANCE(stem___half_3_1_16_8_32, stem<__half, 3, 1, 16, 8, 32>)
INSTANCE(stem_int8_3_1_16_8_32, stem<int8, 3, 1, 16, 8, 32>)
INSTANCE(depthwise___half_1_4, depthwise<__half, 1, 4>)
INSTANCE(depthwise___half_2_4, depthwise<__half, 2, 4>)
INSTANCE(depthwise_int8_1_4, depthwise<int8, 1, 4>)
INSTANCE(depthwise_int8_2_4, depthwise<int8, 2, 4>)
INSTANCE(max_pool___half_3, max_pool<__half, 3>)
INSTANCE(max_pool_int8_3, max_pool<int8, 3>)
INSTANCE(average___half, average<__half>)
INSTANCE(average_int8, average<int8>)
KERNEL(halved)
KERNEL(arg_max)
