#pragma once

// What gcc says by macros, and clang by features.
#ifdef __has_feature
#define LEVIN_TEST_HAS_FEATURE(name) __has_feature(name)
#else
#define LEVIN_TEST_HAS_FEATURE(name) 0
#endif

namespace levin::test {

/// Whether the test was built with the address or the thread sanitizer, under which it is several
/// times slower and needs more memory.
#if defined(__SANITIZE_ADDRESS__) || LEVIN_TEST_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__) || LEVIN_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace levin::test

#undef LEVIN_TEST_HAS_FEATURE
