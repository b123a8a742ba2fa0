#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace levin {

/// Paces a wait for other ranks that asks again and again whether it is over. Unlike a wait inside
/// a library call, it heeds signals and says after a few seconds for whom it waits.
///
///     PolledWait wait({.timeout = 1800.0, .notice = [] { return "rank 1 waits for rank 0"; }});
///     while (!store.check({key})) wait.pause();
class PolledWait {
 public:
  struct Options {
    /// Seconds after which `pause` throws.
    double timeout = 1800.0;
    /// What the error says if the time is up: "no rank has set it in 1800 s".
    std::string problem = "no rank has set it";
    /// Returns the line for stderr that is printed once, after `notice_after` seconds. Null or an
    /// empty text: nothing is printed.
    std::function<std::string()> notice{};
    double notice_after = 5.0;
    /// Whether the wait is to end at once. Null: never.
    std::function<bool()> is_aborted{};
    /// Seconds for which the wait goes on after a signal has asked this process to stop: the rank
    /// waited for may be about to come to the point at which all ranks stop together.
    double patience = 30.0;
    /// The longest pause.
    std::chrono::milliseconds longest{50};
  };
  explicit PolledWait(Options options);

  /// Sleeps, for longer each time. Throws std::runtime_error if the time is up, if the wait is
  /// aborted, or if `patience` seconds have passed since a signal.
  void pause();
  /// The seconds since the wait began.
  double waited() const;

 private:
  Options options_;
  double start_;
  double interrupted_at_ = -1.0;
  bool has_noticed_ = false;
  std::chrono::milliseconds pause_{1};
};

}  // namespace levin
