// Compiled for avx512: see cmake/Kernels.cmake.
#define LEVIN_LANES 16
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kAvx512;
const Kernels kAvx512 = {"avx512", softmax_regression, convert_row};

}  // namespace levin::kernels
