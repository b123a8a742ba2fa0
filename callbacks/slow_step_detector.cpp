#include <levin/callbacks/slow_step_detector.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>

namespace levin {

Fields describe(SlowStepDetectorOptions& o) {
  return fields_of<SlowStepDetectorOptions>({
      {"factor", &o.factor, "a batch is slow if it takes this multiple of the median"},
      {"window", &o.window, "the number of batches of which the median is taken"},
      {"most", &o.most, "the most slow batches that are named in a fit"},
  });
}

SlowStepDetector::SlowStepDetector(SlowStepDetectorOptions options) : options_(options) {
  const auto refuse = [](const char* option, auto value, const char* requirement) {
    throw ConfigError::invalid_value(fmt::format("SlowStepDetector.{}", option),
                                     fmt::to_string(value), requirement);
  };
  if (!(options_.factor > 1.0)) refuse("factor", options_.factor, "must be above 1");
  if (options_.window < 1) refuse("window", options_.window, "must be at least 1");
  if (options_.most < 0) refuse("most", options_.most, "must be at least 0");
}

void SlowStepDetector::on_train_start(Run&) {
  seconds_.clear();
  next_ = 0;
  ended_ = -1.0;
  slow_ = 0;
}

void SlowStepDetector::on_train_epoch_start(Run&) { ended_ = -1.0; }
void SlowStepDetector::on_validation_end(Run&) { ended_ = -1.0; }
void SlowStepDetector::on_save_checkpoint(StateDict&, Run&) { ended_ = -1.0; }

void SlowStepDetector::on_train_batch_start(const Batch&, Step&) {
  began_ = files::monotonic_seconds();
}

void SlowStepDetector::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  const double now = files::monotonic_seconds();
  look(ended_ < 0.0 ? 0.0 : began_ - ended_, now - began_, step);
  ended_ = now;
}

void SlowStepDetector::look(double waited, double stepped, Step& step) {
  const double seconds = waited + stepped;
  const auto window = static_cast<size_t>(options_.window);
  if (seconds_.size() < window) {
    seconds_.push_back(seconds);
    return;
  }
  std::vector<double> sorted = seconds_;
  const auto middle = sorted.begin() + static_cast<int64_t>(window / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double usual = *middle;
  seconds_[next_] = seconds;
  next_ = (next_ + 1) % window;
  if (seconds <= options_.factor * usual || ++slow_ > options_.most) return;
  step.run().warn(fmt::format(
      "slow step: batch {} of epoch {} took {:.3g} s, {:.3g} times the usual {:.3g} s; {:.3g} s of "
      "it were spent before the step, waiting for data",
      step.batch_index(), step.epoch(), seconds, seconds / std::max(usual, 1e-9), usual, waited));
}

void SlowStepDetector::on_train_end(Run& run) {
  if (slow_ <= options_.most) return;
  run.warn(fmt::format("slow step: {} batches of this fit were slow, of which {} were named", slow_,
                       options_.most));
}

}  // namespace levin
