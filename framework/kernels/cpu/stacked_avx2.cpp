// Compiled with -mavx2 -mfma, which cmake/Kernels.cmake sets for files of this name.
#define LEVIN_LANES 8
#include <levin/framework/kernels/cpu/stacked_loops.h>

namespace levin::kernels {

extern const StackedKernels kStackedAvx2;
const StackedKernels kStackedAvx2 = {"avx2", LEVIN_STACKED_KERNELS};

}  // namespace levin::kernels
