#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/layout.h>

#include <algorithm>

#ifdef LEVIN_AMX_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace levin::kernels {

extern const Kernels kPortable;
#ifdef LEVIN_X86_KERNELS
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#endif
#ifdef LEVIN_AMX_KERNELS
extern const Kernels kAmx;
#endif

namespace {

#ifdef LEVIN_AMX_KERNELS
/// Whether the processor multiplies tiles of bytes, and the system lets this process do so. Linux
/// has to be asked, because a thread that uses tiles has 8 KiB more to be saved.
bool has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kTilesOfBytes = (1U << 24) | (1U << 25);  // AMX-TILE and AMX-INT8
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTilesOfBytes) != kTilesOfBytes) {
    return false;
  }
  if (!__builtin_cpu_supports("avx512bw")) return false;
  constexpr long kAskForState = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTiles = 18;            // the number of the tiles' state
  return ::syscall(SYS_arch_prctl, kAskForState, kTiles) == 0;
}
#endif

struct Available {
  const Kernels* list[4] = {};
  std::size_t size = 0;
  Available() {
#ifdef LEVIN_AMX_KERNELS
    if (__builtin_cpu_supports("avx512f") && has_tiles()) list[size++] = &kAmx;
#endif
#ifdef LEVIN_X86_KERNELS
    if (__builtin_cpu_supports("avx512f")) list[size++] = &kAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[size++] = &kAvx2;
#endif
    list[size++] = &kPortable;
  }
};

}  // namespace

RowView RowView::narrow(int64_t first, int64_t new_count) const {
  RowView part = *this;
  part.count = new_count;
  if (numbers != nullptr) {
    part.numbers = numbers + first;
    // The next pass is likely to be divided in the same way.
    part.next_count = std::clamp<int64_t>(next_count - first, 0, new_count);
    part.next_numbers = part.next_count > 0 ? next_numbers + first : nullptr;
  } else {
    const int64_t value_bytes = type == Type::scaled_bytes ? 1 : 4;
    part.data = static_cast<const char*>(data) + first * row_size * value_bytes;
  }
  return part;
}

int64_t scratch_size(int64_t classes, int64_t features) {
  const int64_t width = padded(features);
  // Also for the bias and its gradient, and for beginning at a cache line.
  const int64_t of_floats = rows_a_block(width) * (width + padded(classes)) + 2 * classes * width +
                            2 * padded(classes) + padded(1);
  return std::max(of_floats, byte_scratch_size(classes, features));
}

int64_t linear_scratch_size(int64_t outputs, int64_t features) {
  const int64_t width = padded(features);
  // A block of padded rows and one of gradients, weights or their gradient, the bias or its
  // gradient, and what rounding up to cache lines takes.
  const int64_t of_floats = rows_a_block(width) * (width + padded(outputs)) + outputs * width +
                            padded(outputs) + padded(1);
  return std::max(of_floats, byte_scratch_size(outputs, features));
}

int64_t padded_classes(int64_t classes) { return padded(classes); }

std::span<const Kernels* const> available() {
  static const Available all;
  return {all.list, all.size};
}

const Kernels& best() {
  static const Kernels& chosen = *available().front();
  return chosen;
}

}  // namespace levin::kernels
