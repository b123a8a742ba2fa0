// For every machine. The compiler turns vectors of four lanes into SSE2 or NEON instructions.
#define LEVIN_LANES 4
#include <levin/framework/kernels/cpu/implementation.h>

namespace levin::kernels {

extern const Kernels kPortable;
const Kernels kPortable = {"portable", LEVIN_KERNELS};

}  // namespace levin::kernels
