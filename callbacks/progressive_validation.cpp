#include <levin/callbacks/progressive_validation.h>

#include <algorithm>
#include <array>
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
    : options_(options), schedule_(options.every_n_rows) {
  if (options_.every_n_rows < 0) {
    throw ConfigError::invalid_value("ProgressiveValidation.every_n_rows",
                                     fmt::format("{}", options_.every_n_rows),
                                     "must be at least 1, or 0 for 1, 2, 4, 8 ... rows");
  }
}

StateDict ProgressiveValidation::state_dict() const {
  StateDict state;
  const double pending = on_device_.defined() ? on_device_.item<double>() : 0.0;
  state.values["rows"] = all_.rows + own_.rows;
  state.values["sum"] = all_.sum + own_.sum + pending;
  state.values["printed_rows"] = printed_.rows;
  state.values["printed_sum"] = printed_.sum;
  state.values["next_line"] = schedule_.next_line();
  return state;
}

void ProgressiveValidation::load_state_dict(const StateDict& state) {
  const auto number = [&](const char* name) { return state.values.at(name).as_double(); };
  *this = ProgressiveValidation(options_);
  all_ = {.rows = number("rows"), .sum = number("sum")};
  printed_ = {.rows = number("printed_rows"), .sum = number("printed_sum")};
  schedule_.set_next_line(number("next_line"));
  resumed_ = true;
}

void ProgressiveValidation::on_fit_start(Run& /*run*/) {
  if (!std::exchange(resumed_, false)) *this = ProgressiveValidation(options_);
}

void ProgressiveValidation::on_train_batch_end(const torch::Tensor& loss, const Batch& batch,
                                               Step& step) {
  const bool counts = step.run().place().model_rank == 0;  // the others have the same rows
  if (loss.defined() && counts) {
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
  if (!schedule_.is_count_due()) return;
  collect(step.run());
  if (schedule_.is_line_due(all_.rows)) print_line(step.run());
  schedule_.rows_were_counted(all_.rows, largest_);
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
  schedule_.line_was_printed(all_.rows);
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
