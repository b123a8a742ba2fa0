#include <levin/framework/kernels/cpu/stacked.h>

namespace levin::kernels {

extern const StackedKernels kStackedPortable;
#ifdef LEVIN_X86_KERNELS
extern const StackedKernels kStackedAvx2;
extern const StackedKernels kStackedAvx512;
#endif

namespace {

struct AvailableStacked {
  const StackedKernels* list[3] = {};
  std::size_t size = 0;
  AvailableStacked() {
#ifdef LEVIN_X86_KERNELS
    if (__builtin_cpu_supports("avx512f")) list[size++] = &kStackedAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      list[size++] = &kStackedAvx2;
    }
#endif
    list[size++] = &kStackedPortable;
  }
};

}  // namespace

std::span<const StackedKernels* const> available_stacked() {
  static const AvailableStacked all;
  return {all.list, all.size};
}

const StackedKernels& best_stacked() {
  static const StackedKernels& chosen = *available_stacked().front();
  return chosen;
}

}  // namespace levin::kernels
