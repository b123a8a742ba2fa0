#pragma once

namespace levin {

/// Tells the core that the calling thread runs in a loop until something changes, so that the core
/// saves power and leaves its units to the other thread that it may run. Takes some ten
/// nanoseconds.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace levin
