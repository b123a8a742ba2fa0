#include <levin/framework/loops/training_step.h>

#include <algorithm>
#include <optional>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/solvers/solver.h>
#include <levin/framework/strategies/late_gradients.h>
#include <levin/framework/strategies/local_steps.h>

namespace levin {
TrainingStep::TrainingStep(LoopParts parts, Optimizers& optimizers, Schedules* schedules)
    : parts_(parts),
      local_steps_(parts.strategy.local_steps()),
      late_(parts.strategy.late_gradients()),
      clipping_(parts, parameters_),
      closure_([this] { return closure(); }) {
  const TrainerOptions& options = parts_.options;
  if (local_steps_ != nullptr) {
    check_ranks(optimizers, "model_averaging = " + options.model_averaging.name);
  }
  if (late_ != nullptr) {
    check_ranks(optimizers, "gradient_deadline = " + options.gradient_deadline.name);
  }
  if (!parts_.module.automatic_optimization()) {
    begin_by_hand(optimizers, schedules);
    return;
  }
  if (optimizers.size() > 1) {
    throw ModuleError::contract("configure_optimizers",
                                fmt::format("returned {} optimizers", optimizers.size()),
                                "the Trainer steps one optimizer; give all parameters to it, in "
                                "several parameter groups if they need different settings, or let "
                                "automatic_optimization return false and step them by hand");
  }
  if (optimizers.empty()) return;
  optimizer_ = optimizers.entries().front().optimizer.get();
  parts_.strategy.sum_losses(optimizer_->reevaluates_closure());
  parameters_ = parts_.strategy.with_gradients(*optimizer_);
  check_precision();
  if (auto* learner = dynamic_cast<OnlineLearner*>(optimizer_)) {
    learning_ = std::make_unique<LearnerStep>(parts_, *learner);
    is_automatic_ = false;
  }
  if (parts_.precision.scales_gradients()) scaler_.emplace(parts_.strategy.device());
  check_accumulation(parts_.options.accumulate_grad_batches);
}

/// Throws ConfigError for an optimizer or layers that don't go with `option`, by which ranks don't
/// have the gradients of all rows in each step.
void TrainingStep::check_ranks(Optimizers& optimizers, const std::string& option) const {
  const auto name = option.substr(0, option.find(' '));
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    throw ConfigError::conflict(fmt::format("{} with {}", option, what),
                                fmt::format("leave out {}, or {}", name, hint));
  };
  for (const auto& entry : optimizers.entries()) {
    const Optimizer& optimizer = *entry.optimizer;
    if (dynamic_cast<const OnlineLearner*>(&optimizer) != nullptr) {
      refuse(fmt::format("the optimizer {}, which averages by itself", optimizer.name()),
             "use another optimizer; this one has the setting average_every");
    }
    if (dynamic_cast<const Solver*>(&optimizer) != nullptr || optimizer.reevaluates_closure()) {
      refuse(fmt::format("the optimizer {}, which compares the losses and gradients of its steps",
                         optimizer.name()),
             "use an optimizer such as SGD or AdamW");
    }
  }
  if (has_sync_batch_norms(parts_.module)) {
    refuse("SyncBatchNorm layers, for which ranks wait for each other in each step",
           "use torch::nn::BatchNorm1d to 3d, whose statistics each rank has of its own rows");
  }
}

bool TrainingStep::is_behind() const { return late_ != nullptr && late_->is_behind(); }

bool TrainingStep::is_local() const { return local_steps_ != nullptr && local_steps_->are_local(); }

void TrainingStep::own_parameters() {
  if (local_steps_ != nullptr) local_steps_->own_weights();
}

void TrainingStep::begin_by_hand(Optimizers& optimizers, Schedules* schedules) {
  if (parts_.precision.scales_gradients()) scaler_.emplace(parts_.strategy.device());
  manual_ = std::make_unique<ManualStep>(parts_, optimizers, schedules, scaler());
  is_automatic_ = false;
}

/// Trains on a batch by an online learner, or by hand.
bool TrainingStep::run_otherwise(const Batch& batch, StepControl& step, int64_t global_rows) {
  if (learning_ != nullptr) {
    learning_->run(batch, step, global_rows);
    loss_ = learning_->loss();
    return true;
  }
  const int64_t steps = manual_->run(batch, step, global_rows);
  loss_ = manual_->loss();
  return steps > 0;
}

void TrainingStep::check_accumulation(int64_t batches) const {
  if (batches > 1 && manual_ != nullptr) {
    throw ConfigError::conflict(
        fmt::format("the accumulation of {} batches with a module that optimizes by hand", batches),
        "use 1; training_step decides after how many batches it calls Step::step");
  }
  if (batches > 1 && learning_ != nullptr) {
    throw ConfigError::conflict(
        fmt::format("accumulate_grad_batches = {} with the optimizer {}", batches,
                    optimizer_->name()),
        "it has no gradients to accumulate: use 1, and rows_a_step of the optimizer");
  }
  if (batches <= 1 || optimizer_ == nullptr || !optimizer_->reevaluates_closure()) return;
  throw ConfigError::conflict(
      fmt::format("accumulate_grad_batches = {} with {}, which evaluates its closure again",
                  batches, optimizer_->name()),
      "use 1");
}

void TrainingStep::check_precision() const {
  const Precision& precision = parts_.precision;
  const auto refuse = [&](std::string_view hint) {
    throw ConfigError::conflict(
        fmt::format("precision = {} with the optimizer {}", precision.name(), optimizer_->name()),
        hint);
  };
  if (dynamic_cast<const OnlineLearner*>(optimizer_) != nullptr && precision.has_halves()) {
    refuse("it learns in float32 or float64: use 32-true or 64-true");
  }
  if (precision.scales_gradients() && optimizer_->reevaluates_closure()) {
    refuse(
        "it compares losses and gradients of several points, which would have different scales: "
        "use bf16-mixed or 32-true");
  }
}

bool TrainingStep::reads_rows_in_place() const {
  if (learning_ != nullptr) return true;
  return !parts_.precision.is_mixed() && parts_.module.reads_rows_in_place();
}

void TrainingStep::complete_parameters(bool alone) {
  if (learning_ != nullptr && !alone) learning_->complete();
  if (optimizer_ != nullptr) optimizer_->complete_parameters();
  if (local_steps_ != nullptr && !alone) local_steps_->show_mean();
  if (late_ != nullptr && !alone) late_->meet();
}

void TrainingStep::log_late_steps() {
  if (late_ == nullptr) return;
  const auto steps = late_->take_late_steps();
  if (steps.empty()) return;
  int64_t all = 0;
  for (size_t rank = 0; rank < steps.size(); ++rank) {
    all += steps[rank];
    if (steps.size() > kRanksLogged) continue;
    parts_.run.log(fmt::format("late_steps_rank_{}", rank), static_cast<double>(steps[rank]));
  }
  parts_.run.log("late_steps", static_cast<double>(all));
}

bool TrainingStep::run(const Batch& batch, StepControl& step, int64_t global_rows,
                       bool window_ends) {
  if (!is_automatic_) return run_otherwise(batch, step, global_rows);
  batch_ = &batch;
  step_ = &step;
  window_ends_ = window_ends;
  evaluated_ = is_skipped_ = false;
  if (window_batches_ == 0) {
    if (local_steps_ != nullptr) local_steps_->begin_step(parts_.run.global_step());
    begin_window();
    full_rows_ = static_cast<double>(is_local() ? std::max<int64_t>(batch.rows(), 1) : global_rows);
    window_loss_.reset();
    if (late_ != nullptr) late_->begin_window(full_rows_);
  }
  ++window_batches_;
  if (window_ends && optimizer_ != nullptr) {
    const ProfilePart profiled(parts_.profiler, Part::optimizer);
    parts_.module.optimizer_step(*optimizer_, closure_);
  } else {
    closure();
  }
  step.set_muted(false);
  if (!window_ends) return false;
  window_batches_ = 0;
  if (late_ != nullptr) {
    for (const auto& text : late_->take_warnings()) parts_.run.warn(text);
  }
  if (local_steps_ == nullptr) return window_counts() && !is_skipped_;
  const bool counts = is_local() || window_counts();
  const ProfilePart profiled(parts_.profiler, Part::optimizer);
  local_steps_->end_step();
  return counts;
}

void TrainingStep::begin_window() {
  window_rows_ = 0.0;
  all_rows_ = 0.0;
  gradients_begun_ = false;
}

torch::Tensor TrainingStep::closure() {
  std::optional<at::AutoGradMode> with_gradients;
  if (!at::GradMode::is_enabled()) with_gradients.emplace(true);  // within an optimizer's step
  // An optimizer that evaluates its closure again (LBFGS) starts from new gradients each time. Only
  // the first evaluation is logged and counted.
  step_->set_muted(evaluated_);
  if (evaluated_) begin_window();
  loss_ = batch_->rows() > 0 && !is_behind() ? forward() : torch::Tensor();
  // The other ranks wait for this rank's part of the sums, even if it is nothing.
  const bool others_wait = parts_.strategy.ranks().size() > 1;
  if (loss_.defined() || others_wait) {
    backward(loss_);
  } else if (window_ends_) {
    all_rows_ = window_rows_;
  }
  if (loss_.defined()) window_loss_ = loss_ = loss_.detach();
  evaluated_ = true;
  if (!window_ends_) return loss_;
  if (window_counts()) {
    if (!complete_gradients()) return {};                       // then the optimizer does nothing
    if (!window_loss_.defined()) window_loss_ = at::zeros({});  // only other ranks have a loss
    const auto sum = parts_.strategy.summed_loss();
    if (sum && optimizer_ != nullptr && optimizer_->reevaluates_closure()) {
      // Such an optimizer decides by the loss how to go on, so all ranks must see the same one.
      return at::full({}, *sum * full_rows_ / all_rows_.value(), at::kDouble);
    }
  }
  return window_loss_;
}

torch::Tensor TrainingStep::forward() {
  torch::Tensor loss;
  {
    const ProfilePart profiled(parts_.profiler, Part::forward);
    const AutocastScope scope = parts_.autocast();
    parts_.strategy.begin_forward();
    loss = parts_.module.training_step(*batch_, *step_);
  }
  if (!loss.defined()) return loss;
  if (loss.numel() != 1) {
    throw ModuleError::contract("training_step",
                                fmt::format("returned a tensor of {} elements", loss.numel()),
                                "return a scalar: take the mean over the rows");
  }
  if (!loss.requires_grad()) {
    throw ModuleError::contract("training_step", "returned a loss without a graph",
                                "compute it from the parameters, without detach() or item()");
  }
  return loss;
}

/// What the batch counts: its rows, or what training_step has said by Step::set_batch_size.
double TrainingStep::weight_of_batch() {
  const auto& size = step_->batch_size();
  if (!size) return static_cast<double>(batch_->rows());
  if (is_recorded_) {
    throw ModuleError::contract(
        fmt::format("set_batch_size({})", *size),
        "the step is captured in a CUDA graph, which would repeat this number in every batch",
        "set cuda_graph = off, or let Module::capturable return false");
  }
  const auto weight = static_cast<double>(*size);
  // A rank that steps alone needs no number that the ranks agree on, so that the first loss can be
  // used as it is.
  const bool is_alone = parts_.strategy.ranks().size() == 1 || is_local();
  if (window_rows_ == 0.0 && is_alone) full_rows_ = weight;
  return weight;
}

void TrainingStep::backward(const torch::Tensor& loss) {
  const double rows = loss.defined() ? weight_of_batch() : 0.0;
  if (!gradients_begun_ && optimizer_ != nullptr) {
    parts_.hooks.call_batch(BatchHook::before_zero_grad, &Hooks::on_before_zero_grad, *optimizer_,
                            *step_);
    optimizer_->zero_grad();
  }
  gradients_begun_ = true;
  if (loss.defined()) {
    window_rows_ += rows;
    parts_.hooks.call_batch(BatchHook::before_backward, &Hooks::on_before_backward, loss, *step_);
  }
  {
    const ProfilePart profiled(parts_.profiler, Part::backward);
    torch::Tensor scaled;
    if (scaler_ && loss.defined()) scaled = scaler_->scale(loss);
    all_rows_ =
        parts_.strategy.backward(parts_.module, scaled.defined() ? scaled : loss, rows / full_rows_,
                                 window_ends_ ? std::optional(window_rows_) : std::nullopt);
  }
  if (!loss.defined()) return;
  parts_.hooks.call_batch(BatchHook::after_backward, &Hooks::on_after_backward, *step_);
}

/// Makes the gradients of a window what the optimizer shall step by. Returns false if the step is
/// left out.
bool TrainingStep::complete_gradients() {
  if (optimizer_ == nullptr) return true;
  const at::NoGradGuard no_grad;
  if (!all_rows_) {
    parts_.strategy.scale_gradients(parameters_, full_rows_);
  } else if (*all_rows_ != full_rows_) {
    for (const auto& parameter : parameters_) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(full_rows_ / *all_rows_);
    }
  }
  if (scaler_ && !unscale_gradients()) return false;
  parts_.hooks.call_batch(BatchHook::before_optimizer_step, &Hooks::on_before_optimizer_step,
                          *optimizer_, *step_);
  clipping_.clip(*optimizer_, *step_);
  return true;
}

/// Returns false if the host knows that the step is left out. In a recorded step only the device
/// does.
bool TrainingStep::unscale_gradients() {
  scaler_->unscale(parameters_);
  parts_.strategy.agree_on(scaler_->found_inf());
  optimizer_->set_found_inf(is_recorded_ ? scaler_->found_inf() : torch::Tensor());
  if (is_recorded_) {
    scaler_->count_skip();
  } else {
    is_skipped_ = scaler_->skips();
  }
  scaler_->update();
  return !is_skipped_;
}

}  // namespace levin
