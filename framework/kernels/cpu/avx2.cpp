// Compiled with -mavx2 -mfma, which cmake/Kernels.cmake sets for this file alone.
#define LEVIN_LANES 8
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kAvx2;
const Kernels kAvx2 = {"avx2",          softmax_regression, softmax_gradient, linear_output,
                       linear_gradient, convert_row,        adam_step,        add};

}  // namespace levin::kernels
