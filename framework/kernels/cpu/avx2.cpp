// Compiled with -mavx2 -mfma, which cmake/Kernels.cmake sets for this file alone.
#define LEVIN_LANES 8
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kAvx2;
const Kernels kAvx2 = {"avx2", LEVIN_KERNELS};

}  // namespace levin::kernels
