#pragma once

namespace levin {

// The exit statuses of the `levin` program.

/// The command did what it was asked for.
constexpr int kDone = 0;
/// The command failed; the message is on stderr.
constexpr int kFailed = 1;
/// The command line or the configuration is wrong; nothing was started.
constexpr int kWrongUsage = 2;
/// A signal ended the command. A fit has saved a checkpoint to go on from (unless fast_dev_run is
/// set); `convert` has removed what it had written.
constexpr int kInterrupted = 130;

}  // namespace levin
