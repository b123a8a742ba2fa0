#pragma once

#include <csignal>

namespace levin {

namespace detail {
inline volatile std::sig_atomic_t interrupted = 0;
}  // namespace detail

/// Whether a signal has asked the loop in progress to stop (StopSignal notes and forgets it). Code
/// that waits for other ranks without a loop's step boundaries asks here, so that it doesn't wait
/// for ever.
inline bool is_interrupted() { return detail::interrupted != 0; }
/// Notes or forgets such a signal. May be called in a signal handler.
inline void set_interrupted(bool value) { detail::interrupted = value ? 1 : 0; }

}  // namespace levin
