#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <optional>
#include <string>

namespace levin {

/// Options of Timer.
struct TimerOptions {
  /// How long training may take, validation included, as "DD:HH:MM:SS". Leading parts may be left
  /// out: "30:00" is half an hour. If empty, the time is measured but not limited.
  std::string duration{};
  /// Whether to check the time after each "step" or each "epoch". By steps, training stops close to
  /// the limit; by epochs, it may take up to an epoch longer.
  std::string interval = "step";
  /// Print a line to stderr when the time is up. Only rank 0 prints.
  bool verbose = true;
};

/// Describes the options for YAML files and `--help`.
Fields describe(TimerOptions& options);

/// Measures how long training, validation and test take, and stops training after a given time, for
/// example before a cluster's job is ended. Lightning: Timer.
///
///     auto& timer = trainer.add<levin::Timer>({.duration = "01:30:00"});
///     trainer.fit(model, data);
///     std::printf("trained for %.0f s\n", timer.time_elapsed());
///
/// A resumed run has the time that was left when the checkpoint was taken; any other fit starts
/// over. The clock is monotonic, so changes of the system's time don't matter. Training ends at the
/// next boundary after the time is up, once the Trainer's min_epochs and min_steps are reached.
class Timer : public Callback {
 public:
  using Options = TimerOptions;
  /// Throws ConfigError if `duration` isn't of the form "DD:HH:MM:SS" or `interval` is neither
  /// "step" nor "epoch".
  explicit Timer(TimerOptions options = {});

  /// Returns the seconds spent so far: in training (Stage::fit, which includes the time before a
  /// resume), in all validations, or in all tests. Returns 0 for other stages. May be called during
  /// a run.
  double time_elapsed(Stage stage = Stage::fit) const;
  /// Returns the seconds of training that are left, or nothing without a duration. Negative if
  /// training has gone on for longer.
  std::optional<double> time_remaining() const;

  /// Runs after the module's hooks, so that their time is measured too.
  Order order() const override { return Order::monitor; }
  /// The seconds spent so far, so that a resumed run goes on measuring.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  // Training. The time is checked at the start, then after each step or epoch.
  void on_fit_start(Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  // Validations and tests are only measured. Validations count towards training as well.
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_test_start(Run& run) override;
  void on_test_end(Run& run) override;
  /// Stops all clocks, so that time_elapsed returns the time up to the exception.
  void on_exception(const std::exception& error, Run& run) override;

 private:
  /// A stopwatch for one stage.
  struct Watch {
    double before = 0.0;              // the seconds measured before the last start
    std::optional<double> started{};  // in files::monotonic_seconds(), while it runs
    /// Begins to measure, and adds to what was measured before.
    void start();
    /// Ends the measurement and keeps what was measured.
    void stop();
    /// The seconds measured so far.
    double seconds() const;
  };
  /// Asks the run to stop if the time is up.
  void stop_in_time(Run& run);

  TimerOptions options_;
  std::optional<double> duration_;
  bool by_step_ = false;
  double deadline_ = 0.0;  // in files::monotonic_seconds()
  bool resumed_ = false;
  bool has_said_ = false;  // that the time is up, in this fit
  Watch fit_;
  Watch validation_;
  Watch test_;
};

}  // namespace levin
