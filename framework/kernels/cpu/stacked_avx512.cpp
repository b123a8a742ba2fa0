// Compiled with -mavx512f, which cmake/Kernels.cmake sets for files of this name.
#define LEVIN_LANES 16
#include <levin/framework/kernels/cpu/stacked_loops.h>

namespace levin::kernels {

extern const StackedKernels kStackedAvx512;
const StackedKernels kStackedAvx512 = {"avx512", LEVIN_STACKED_KERNELS};

}  // namespace levin::kernels
