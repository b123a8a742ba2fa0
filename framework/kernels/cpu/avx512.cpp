// Compiled with -mavx512f, which cmake/Kernels.cmake sets for this file alone.
#define LEVIN_LANES 16
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kAvx512;
const Kernels kAvx512 = {"avx512", LEVIN_KERNELS};

}  // namespace levin::kernels
