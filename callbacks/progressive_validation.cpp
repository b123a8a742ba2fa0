#include <levin/callbacks/progressive_validation.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/step.h>

namespace levin {

Fields describe(ProgressiveValidationOptions& o) {
  return fields_of<ProgressiveValidationOptions>({
      {"every_n_rows", &o.every_n_rows, "rows between two lines; 0: after 1, 2, 4, 8 ... rows"},
  });
}

ProgressiveValidation::ProgressiveValidation(ProgressiveValidationOptions options)
    : options_(options) {
  if (options_.every_n_rows < 0) {
    throw ConfigError::invalid_value("ProgressiveValidation.every_n_rows",
                                     fmt::format("{}", options_.every_n_rows),
                                     "must be at least 1, or 0 for 1, 2, 4, 8 ... rows");
  }
  next_line_ = next_after(0.0);
}

/// The number of rows of the first line after the one with `rows`.
double ProgressiveValidation::next_after(double rows) const {
  if (options_.every_n_rows > 0) {
    const auto every = static_cast<double>(options_.every_n_rows);
    return (std::floor(rows / every) + 1.0) * every;
  }
  return rows < 1.0 ? 1.0 : std::exp2(std::floor(std::log2(rows)) + 1.0);
}

StateDict ProgressiveValidation::state_dict() const {
  StateDict state;
  const double pending = on_device_.defined() ? on_device_.item<double>() : 0.0;
  state.values["rows"] = all_.rows + own_.rows;
  state.values["sum"] = all_.sum + own_.sum + pending;
  state.values["printed_rows"] = printed_.rows;
  state.values["printed_sum"] = printed_.sum;
  state.values["next_line"] = next_line_;
  return state;
}

void ProgressiveValidation::load_state_dict(const StateDict& state) {
  const auto number = [&](const char* name) { return state.values.at(name).as_double(); };
  *this = ProgressiveValidation(options_);
  all_ = {.rows = number("rows"), .sum = number("sum")};
  printed_ = {.rows = number("printed_rows"), .sum = number("printed_sum")};
  next_line_ = number("next_line");
  resumed_ = true;
}

void ProgressiveValidation::on_fit_start(Run& /*run*/) {
  if (!std::exchange(resumed_, false)) *this = ProgressiveValidation(options_);
}

void ProgressiveValidation::on_train_batch_end(const torch::Tensor& loss, const Batch& batch,
                                               Step& step) {
  ++batches_;
  if (loss.defined()) {
    const auto rows = static_cast<double>(batch.rows());
    own_.rows += rows;
    own_largest_ = std::max(own_largest_, rows);
    if (loss.is_cpu()) {
      own_.sum += loss.item<double>() * rows;
    } else {
      const auto sum = loss.to(at::kDouble) * rows;
      on_device_ = on_device_.defined() ? on_device_ + sum : sum;
    }
  }
  if (batches_ < next_look_) return;
  collect(step.run());
  if (all_.rows >= next_line_) print_line(step.run());
  // No batch has been larger, so the next line isn't due before these batches.
  next_look_ =
      batches_ +
      std::max<int64_t>(
          1, static_cast<int64_t>(std::ceil((next_line_ - all_.rows) / std::max(largest_, 1.0))));
}

/// Adds up what the ranks have counted. A collective.
void ProgressiveValidation::collect(Run& run) {
  if (on_device_.defined()) own_.sum += on_device_.item<double>();
  on_device_.reset();
  std::array<double, 3> sums{own_.rows, own_.sum, own_largest_};
  run.ranks().sum(sums);
  all_.rows += sums[0];
  all_.sum += sums[1];
  largest_ = std::max(largest_, sums[2]);
  own_ = {};
}

void ProgressiveValidation::print_line(Run& run) {
  const Losses since{.rows = all_.rows - printed_.rows, .sum = all_.sum - printed_.sum};
  printed_ = all_;
  next_line_ = next_after(all_.rows);
  if (!run.is_global_zero() || since.rows == 0.0) return;
  if (!std::exchange(has_header_, true)) {
    diagnostics::print(fmt::format("{:<10} {:<10} {:>12}\n{:<10} {:<10} {:>12}\n", "average",
                                   "since", "rows", "loss", "last", "counted"));
  }
  diagnostics::print(
      fmt::format("{:<10.6f} {:<10.6f} {:>12.0f}\n", average(), since.sum / since.rows, all_.rows));
}

void ProgressiveValidation::on_train_epoch_end(Run& run) {
  collect(run);
  if (all_.rows > 0.0) run.log("progressive_loss", average());
}

void ProgressiveValidation::on_train_end(Run& run) {
  collect(run);
  if (all_.rows > printed_.rows) print_line(run);
}

}  // namespace levin
