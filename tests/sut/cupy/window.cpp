// The kernels of window.cu as functions of a library, named as their instances are.
#include "tensor_cores_on_cpu.h"

#include "window.cu"

INSTANCE(window_int8_8_56_7, window<int8, 8, 56, 7>)
INSTANCE(window_int8_16_28_7, window<int8, 16, 28, 7>)
INSTANCE(window___half_8_56_7, window<__half, 8, 56, 7>)
INSTANCE(window___half_16_28_7, window<__half, 16, 28, 7>)
