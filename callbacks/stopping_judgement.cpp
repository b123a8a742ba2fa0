#include <levin/callbacks/stopping_judgement.h>

#include <fmt/format.h>
#include <levin/callbacks/early_stopping.h>

#include <cmath>

namespace levin {

StoppingJudgement judge_for_stopping(const EarlyStoppingOptions& options, const Monitor& monitor,
                                     double value, double best_score, int64_t wait_count) {
  const auto& name = options.monitor;
  if (options.check_finite && !std::isfinite(value)) {
    return {false, wait_count,
            fmt::format("early stopping: {} = {} is not finite (the best value was {:.6g})", name,
                        value, best_score)};
  }
  // An improvement has to exceed min_delta.
  const double discounted =
      monitor.is_max() ? value - options.min_delta : value + options.min_delta;
  const bool improved = monitor.is_better(discounted, best_score);
  StoppingJudgement judged{.improved = improved, .wait_count = improved ? 0 : wait_count + 1};

  const auto& goal = options.stopping_threshold;
  if (goal && monitor.is_better(value, *goal)) {
    judged.reason =
        fmt::format("early stopping: {} = {:.6g} is better than the stopping_threshold {:.6g}",
                    name, value, *goal);
    return judged;
  }
  const auto& limit = options.divergence_threshold;
  if (limit && monitor.is_better(*limit, value)) {
    judged.reason =
        fmt::format("early stopping: {} = {:.6g} is worse than the divergence_threshold {:.6g}",
                    name, value, *limit);
    return judged;
  }
  if (improved || judged.wait_count < options.patience) return judged;
  const std::string checks =
      judged.wait_count == 1 ? "check" : fmt::format("{} checks", judged.wait_count);
  judged.reason =
      fmt::format("early stopping: {} did not improve in the last {} (the best value is {:.6g})",
                  name, checks, best_score);
  return judged;
}

std::string stopping_report(const EarlyStoppingOptions& options, const StoppingJudgement& judged,
                            double value, int64_t wait_count, bool may_stop) {
  const bool waited = judged.wait_count > wait_count;
  const char* intent = may_stop ? ", stopping" : ", wants to stop";
  return fmt::format(
      "early stopping: {} = {:.6g}{}{}\n", options.monitor, value,
      waited ? fmt::format(", no improvement ({} of {})", judged.wait_count, options.patience)
             : std::string(),
      judged.reason.empty() ? "" : intent);
}

}  // namespace levin
