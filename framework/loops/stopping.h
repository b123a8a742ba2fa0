#pragma once

#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Decides when training ends: at a limit of the options (max_epochs, max_steps, max_time), at the
/// request of a callback (Run::stop), or at a signal (SIGINT, SIGTERM, SIGHUP).
///
/// All ranks decide the same at the same boundary. Epochs and steps are counted alike on all ranks.
/// What one rank finds out by itself (its clock, its signal, the request of its callbacks) is a
/// flag that travels with the gradients and counts once every rank knows of it
/// (Ranks::any_after_step). Therefore every rank has to call `judge`, `notice_interrupt` and
/// `is_done` at the same boundaries, in the same order.
///
///     stopping.hold(requests.stops);
///     stopping.judge(/*in_step=*/true);
///     if (stopping.notice_interrupt()) save();
///     if (stopping.is_done()) break;
class Stopping {
 public:
  /// Takes the limits from `options`. Keeps the three references. Throws ConfigError if max_time
  /// isn't a duration.
  Stopping(const TrainerOptions& options, Ranks& ranks, RunControl& run);

  /// Puts the largest and the smallest numbers of epochs and steps into `progress`. If the options
  /// set none of max_epochs, max_steps and max_time, max_epochs becomes 1000.
  void set_limits(Progress& progress) const;

  /// Starts the clock of max_time. To be called when training begins.
  void start_clock();
  /// Returns the seconds of training so far, including those before a resume; nothing if there is
  /// no max_time.
  std::optional<double> seconds() const;
  /// Sets the seconds of training that were spent before this run went on.
  void set_seconds_before(double seconds) { seconds_before_ = seconds; }

  /// Takes note of what callbacks of this rank wish.
  void hold(const std::vector<Requests::Stop>& requests);
  /// Decides whether a request to stop counts. While min_epochs and min_steps aren't reached, none
  /// does: it is held, and judged again at each boundary. A request whose reason has gone by then
  /// is dropped (Run::stop_while). To be called at every boundary, even if this rank has no
  /// request, because another rank may have one.
  ///
  /// `in_step` says that the boundary is that of a step without a validation. Ranks don't wait for
  /// each other there, and a request counts once all of them have learned of it
  /// (Ranks::any_after_step). At other boundaries they wait for each other, and a request counts at
  /// once.
  void judge(bool in_step);
  /// Whether a request counts.
  bool is_requested() const { return is_requested_; }
  /// The reason of a request by Run::stop that min_epochs or min_steps holds back; nothing if there
  /// is none. Checkpoints keep it, and a resumed run holds it again. A callback that calls
  /// Run::stop_while keeps what it needs in a state of its own.
  std::optional<std::string> held_reason() const;

  /// Whether something may end training at any boundary: a time limit, or a request.
  bool is_watching() const { return max_seconds_ > 0.0 || is_requested_ || !held_.empty(); }
  /// Returns true once, at the first boundary at which all ranks know that one of them has received
  /// a signal. The run's history then says that it was interrupted.
  bool notice_interrupt();

  /// Whether training ends at this boundary. Requests and max_time are held back until min_epochs
  /// and min_steps are reached; the other limits and an interrupt aren't.
  bool is_done();
  /// Why training ends:
  ///
  ///     "max_epochs", "max_steps", "max_time"        that limit was reached
  ///     "limit_train_batches"                        that option leaves no batch to train on
  ///     "interrupted"                                a signal arrived
  ///     the reason given to Run::stop                a callback of this rank asked to stop
  ///     "a callback of another rank asked to stop"   and none of this rank did
  ///
  /// Empty while nothing has asked for the end.
  const std::string& reason() const { return reason_; }

 private:
  bool is_out_of_time();

  const TrainerOptions& options_;
  Ranks& ranks_;
  RunControl& run_;
  std::vector<Requests::Stop> held_;  // by this rank's callbacks; other ranks may not know of them
  std::string reason_;
  bool is_requested_ = false;
  double max_seconds_ = 0.0;  // 0: no limit
  double seconds_before_ = 0.0;
  std::optional<double> started_;
};

}  // namespace levin
