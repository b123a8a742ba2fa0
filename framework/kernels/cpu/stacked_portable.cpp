// For every machine, as portable.cpp.
#define LEVIN_LANES 4
#include <levin/framework/kernels/cpu/stacked_loops.h>

namespace levin::kernels {

extern const StackedKernels kStackedPortable;
const StackedKernels kStackedPortable = {"portable", LEVIN_STACKED_KERNELS};

}  // namespace levin::kernels
