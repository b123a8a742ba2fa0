#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <optional>
#include <string>

namespace levin {

struct TimerOptions {
  /// "DD:HH:MM:SS" of training, validation included, after which it stops (leading parts may be
  /// left out); empty: only measure.
  std::string duration{};
  /// Look at the clock after each "step" or each "epoch".
  std::string interval = "step";
  /// Say on stderr when the time is up.
  bool verbose = true;
};

Fields describe(TimerOptions& options);

/// Measures training, validation and test, and stops training in time. A resumed run has the time
/// that was left. Lightning: Timer.
class Timer : public Callback {
 public:
  using Options = TimerOptions;
  /// Throws ConfigError for a duration or an interval that isn't one.
  explicit Timer(TimerOptions options = {});

  /// Seconds spent so far: in fit (before a resume, too), or in all validations or tests.
  double time_elapsed(Stage stage = Stage::fit) const;
  /// Seconds of training left; nothing without a duration.
  std::optional<double> time_remaining() const;

  Order order() const override { return Order::monitor; }
  std::string state_key() const override { return "Timer"; }
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_test_start(Run& run) override;
  void on_test_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  /// Time of one kind of work.
  struct Watch {
    double before = 0.0;              // seconds of the stretches that ended
    std::optional<double> started{};  // of the one going on, on the monotonic clock
    void start();
    void stop();
    double seconds() const;
  };
  void stop_in_time(Run& run);

  TimerOptions options_;
  std::optional<double> duration_;
  bool by_step_ = false;
  double deadline_ = 0.0;  // on the monotonic clock
  bool resumed_ = false;
  Watch fit_;
  Watch validation_;
  Watch test_;
};

}  // namespace levin
