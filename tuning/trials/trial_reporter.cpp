#include <levin/tuning/trials/trial_reporter.h>

#include <string>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/run/run.h>

namespace levin {

/// Reports the metric if it has a new value; returns whether it has.
bool TrialReporter::report(Run& run) {
  const std::string& metric = plan_.options.metric.front();
  const int64_t updates = run.updates_of(metric);
  const auto found = run.metrics().find(metric);
  if (updates == seen_ || found == run.metrics().end()) return false;
  seen_ = updates;
  last_ = found->second;
  const bool larger_is_better = plan_.directions.front() == StudyDirection::maximize;
  if (!best_ || (larger_is_better ? *last_ > *best_ : *last_ < *best_)) best_ = last_;
  TrialUpdate update{.intermediate_values = {{run.epoch(), *last_}}};
  if (reports_ != nullptr) {
    reports_->emplace_back(trial_, std::move(update));
  } else {
    file_.update(trial_, update);
  }
  return true;
}

void TrialReporter::on_train_epoch_end(Run& run) {
  ++epochs_;
  if (plan_.options.metric.size() > 1 || !report(run)) return;
  if (plan_.pruner != nullptr) {
    const Trial& trial = *file_.contents().trial(trial_);
    const PruningDecision decision =
        plan_.pruner->decide(*file_.contents().study_of_trial(trial_), trial);
    TrialUpdate kept;
    for (const auto& [name, value] : decision.attributes) kept.system_attributes[name] = value;
    if (!kept.system_attributes.empty()) file_.update(trial_, kept);
    if (decision.prune) {
      is_pruned_ = true;
      return run.stop(
          fmt::format("{} is worse than that of other trials", plan_.options.metric.front()));
    }
  }
  if (!limit_.until_epoch || run.epoch() + 1 < *limit_.until_epoch || has_reached_limit_) return;
  has_reached_limit_ = true;
  run.save(limit_.checkpoint);
  run.stop(fmt::format("the search lets the trial train for {}",
                       counted(static_cast<size_t>(*limit_.until_epoch), "epoch")));
}

}  // namespace levin
