#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace levin::kernels {

/// Within its scope, the calling thread takes numbers so small that they are stored without full
/// precision (below 1.2e-38 for float32) as 0. Otherwise, x86 processors need more than 100 cycles
/// for each operation that yields one, and training yields many: a softmax of well separated
/// classes has them, and Adam's means of gradients that have become 0.
///
/// A scope within another one costs next to nothing: it finds the thread as it wants it. So whoever
/// calls many small kernels, each with a scope of its own, puts one around all of them.
///
/// The compiler may move arithmetic out of the scope; call a function that isn't inlined. The
/// members always are, because files for one kind of vector unit include this one, too.
class DenormalsAreZero {
 public:
#if defined(__x86_64__)
  __attribute__((always_inline)) DenormalsAreZero() : before_(_mm_getcsr()) {
    if ((before_ & kBoth) != kBoth) _mm_setcsr(before_ | kBoth);  // which waits for all arithmetic
  }
  __attribute__((always_inline)) ~DenormalsAreZero() {
    if ((before_ & kBoth) != kBoth) _mm_setcsr(before_);
  }
#elif defined(__aarch64__)
  __attribute__((always_inline)) DenormalsAreZero() : before_(control()) {
    set_control(before_ | kFlushToZero);
  }
  __attribute__((always_inline)) ~DenormalsAreZero() { set_control(before_); }
#else
  DenormalsAreZero() = default;
#endif
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr unsigned kFlushToZero = 0x8000;  // results, in the register MXCSR
  static constexpr unsigned kReadAsZero = 0x0040;   // operands
  static constexpr unsigned kBoth = kFlushToZero | kReadAsZero;
  unsigned before_;
#elif defined(__aarch64__)
  static constexpr uint64_t kFlushToZero = uint64_t{1} << 24;  // in the register FPCR
  static uint64_t control() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set_control(uint64_t value) { asm volatile("msr fpcr, %0" ::"r"(value)); }
  uint64_t before_;
#endif
};

}  // namespace levin::kernels
