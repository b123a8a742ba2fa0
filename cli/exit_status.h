#pragma once

namespace levin {

// What the `levin` program ends with.
constexpr int kDone = 0;
constexpr int kFailed = 1;
/// A wrong command line or configuration: nothing was started.
constexpr int kWrongUsage = 2;
/// A signal ended the run, and its checkpoint is saved.
constexpr int kInterrupted = 130;

}  // namespace levin
