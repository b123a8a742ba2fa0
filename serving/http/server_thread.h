#pragma once

#include <functional>

namespace levin {

/// Runs `task` on the calling thread after it has read the requests that have arrived by now, if it
/// is a thread of an HttpServer. On any other thread, does nothing and returns false.
///
/// The connections of the thread wait meanwhile, so a task should take less than a millisecond. A
/// task that hasn't begun when the server ends is destroyed.
bool run_after_reading(std::function<void()> task);

}  // namespace levin
