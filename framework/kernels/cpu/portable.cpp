// For every machine: what the compiler makes of four lanes, SSE2 or NEON.
#define LEVIN_LANES 4
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kPortable;
const Kernels kPortable = {"portable", softmax_regression, convert_row};

}  // namespace levin::kernels
