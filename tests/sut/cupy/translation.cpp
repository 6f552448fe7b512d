// The kernels of translation.cu as functions of a library: grid, threads of a block, and arguments.
#include "cuda_on_cpu.h"

#include "translation.cu"

KERNEL(embed)
KERNEL(encode)
KERNEL(begin)
KERNEL(take)
KERNEL(decode)
KERNEL(attend)
KERNEL(candidates)
KERNEL(choose)
KERNEL(answer)
