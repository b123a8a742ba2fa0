#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include <levin/framework/run/callback.h>
#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// Where a trial pauses or ends before the configuration lets it end.
struct TrialLimit {
  /// The number of epochs that it has trained then, those of trials that it goes on from included.
  /// Nothing: there is no limit.
  std::optional<int64_t> until_epoch{};
  /// The checkpoint that is saved there.
  std::filesystem::path checkpoint{};
};

/// Reports the metric of each epoch to the study, and stops the run if the pruner says so, or at
/// the limit. With several metrics, only the last values count, which `run_trial` records.
class TrialReporter : public Callback {
 public:
  TrialReporter(const SearchPlan& plan, StudyFile& file, int64_t trial, TrialLimit limit)
      : plan_(plan), file_(file), trial_(trial), limit_(std::move(limit)) {}
  /// Makes reports be added to `reports`, for the caller to write those of several trials together,
  /// instead of being written at once. Only for a search without a pruner, which reads them.
  void collect_in(TrialUpdates& reports) { reports_ = &reports; }

  Order order() const override { return Order::monitor; }
  void on_train_epoch_end(Run& run) override;
  /// Whether the pruner has ended the trial.
  bool is_pruned() const { return is_pruned_; }
  /// Whether the limit has ended it.
  bool has_reached_limit() const { return has_reached_limit_; }
  /// The number of epochs that this process has trained of the trial.
  int64_t epochs() const { return epochs_; }
  /// The value that was reported last, and the best one; nothing if there was none.
  std::optional<double> last_value() const { return last_; }
  std::optional<double> best_value() const { return best_; }

 private:
  bool report(Run& run);

  const SearchPlan& plan_;
  StudyFile& file_;
  int64_t trial_;
  TrialLimit limit_;
  TrialUpdates* reports_ = nullptr;
  int64_t seen_ = 0;
  int64_t epochs_ = 0;
  std::optional<double> last_{};
  std::optional<double> best_{};
  bool is_pruned_ = false;
  bool has_reached_limit_ = false;
};

}  // namespace levin
