#pragma once

#include <optional>
#include <string>

#include <levin/framework/core/ranks.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Decides when training ends: at a limit of the options (max_epochs, max_steps, max_time), at a
/// callback's request (Run::stop), or at a signal (SIGINT, SIGTERM).
///
/// All ranks decide the same at the same boundary. Epochs and steps are counted alike on all ranks.
/// Whatever one rank finds out by itself (its clock, its signal, its callbacks' request) is a flag
/// that travels with the gradients and counts once every rank knows of it (Ranks::any_after_step).
/// Therefore every rank has to call `take_request`, `notice_interrupt` and `is_done` at the same
/// boundaries, in the same order.
///
///     stopping.take_request(requests.stop, /*in_step=*/true);
///     if (stopping.notice_interrupt()) save();
///     if (stopping.is_done()) break;
class Stopping {
 public:
  /// Takes the limits from `options`; `set_limits` shows them in the run's progress.
  Stopping(const TrainerOptions& options, Ranks& ranks, RunControl& run);

  /// Puts max_epochs and max_steps into `progress`. If the options have no limit at all, max_epochs
  /// is 1000.
  void set_limits(Progress& progress) const;

  /// Starts the clock of max_time.
  void start_clock();
  /// Seconds of training so far, those before a resume included; nothing without max_time.
  std::optional<double> seconds() const;
  /// Sets the seconds of training that were spent before this run went on.
  void set_seconds_before(double seconds) { seconds_before_ = seconds; }

  /// Takes up a callback's request to stop, whose reason is `request`; nothing if there is none.
  /// Also to be called if there is none, because another rank may have one. `in_step`: the boundary
  /// is that of a step without a validation. There ranks don't wait for each other and a request
  /// counts once all of them have learned of it; elsewhere they wait, and it counts at once.
  void take_request(const std::optional<std::string>& request, bool in_step);
  /// Whether a request counts already, though min_epochs and min_steps may still hold it back.
  bool is_requested() const { return is_requested_; }

  /// Returns true if all ranks know, since this call, that one of them has got a signal; the run's
  /// history then says that it was interrupted.
  bool notice_interrupt();

  /// Whether training ends at this boundary. Requests and max_time wait for min_epochs and
  /// min_steps; the other limits and an interrupt don't.
  bool is_done();
  /// Why training ends: "max_epochs", "max_steps", "max_time", "limit_train_batches",
  /// "interrupted", or the reason given to Run::stop. Empty while nothing has asked for the end.
  const std::string& reason() const { return reason_; }

 private:
  bool is_out_of_time();
  bool minima_are_met() const;

  const TrainerOptions& options_;
  Ranks& ranks_;
  RunControl& run_;
  std::string own_request_;  // by a callback of this rank; the others may not know of it yet
  std::string reason_;
  bool is_requested_ = false;
  double max_seconds_ = 0.0;  // 0: no limit
  double seconds_before_ = 0.0;
  std::optional<double> started_;
};

}  // namespace levin
