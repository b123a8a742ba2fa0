#pragma once

#include <functional>
#include <thread>

namespace levin {

/// Starts a thread that receives none of the signals sent to the process, so that they interrupt
/// the main thread instead. Signals that the thread causes itself, such as SIGSEGV, aren't blocked.
/// Throws std::system_error if the system has no thread left.
std::thread start_without_signals(std::function<void()> work);

}  // namespace levin
