#pragma once

#include <atomic>

namespace levin {

namespace detail {
inline std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // because signal handlers use it
}  // namespace detail

/// Whether a signal has asked the loop in progress to stop (StopSignal notes and forgets it). Code
/// that waits for other ranks without a loop's step boundaries asks here, so that it doesn't wait
/// for ever.
inline bool is_interrupted() { return detail::interrupted; }
/// Notes or forgets such a signal. May be called in a signal handler.
inline void set_interrupted(bool value) { detail::interrupted = value; }

}  // namespace levin
