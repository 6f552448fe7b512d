// The kernels of detection.cu as functions of a library: grid, threads of a block, and arguments.
#include "cuda_on_cpu.h"

#include "detection.cu"

KERNEL(predict)
KERNEL(suppress)
KERNEL(rank)
