#include <levin/framework/loops/training_step.h>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>

namespace levin {

TrainingStep::TrainingStep(LoopParts parts, Optimizers& optimizers)
    : parts_(parts), closure_([this] { return closure(); }) {
  if (optimizers.size() > 1) {
    throw ModuleError::contract("configure_optimizers",
                                fmt::format("returned {} optimizers", optimizers.size()),
                                "the Trainer uses one optimizer; give all parameters to it, in "
                                "several parameter groups if they need different settings");
  }
  if (optimizers.empty()) return;
  optimizer_ = optimizers.entries().front().optimizer.get();
  parts_.strategy.sum_losses(optimizer_->reevaluates_closure());
  parameters_ = parts_.strategy.with_gradients(*optimizer_);
  check_accumulation(parts_.options.accumulate_grad_batches);
}

void TrainingStep::check_accumulation(int64_t batches) const {
  if (batches <= 1 || optimizer_ == nullptr || !optimizer_->reevaluates_closure()) return;
  throw ConfigError::conflict(
      fmt::format("accumulate_grad_batches = {} with {}, which evaluates its closure again",
                  batches, optimizer_->name()),
      "use 1");
}

bool TrainingStep::run(const Batch& batch, StepControl& step, int64_t global_rows,
                       bool window_ends) {
  batch_ = &batch;
  step_ = &step;
  window_ends_ = window_ends;
  evaluated_ = false;
  if (window_batches_ == 0) {
    begin_window();
    full_rows_ = static_cast<double>(global_rows);
    window_loss_.reset();
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
  return window_counts();
}

void TrainingStep::begin_window() {
  window_rows_ = 0.0;
  all_rows_ = 0.0;
  gradients_begun_ = false;
}

torch::Tensor TrainingStep::closure() {
  const at::AutoGradMode with_gradients(true);
  // An optimizer that evaluates its closure again (LBFGS) starts from new gradients each time. Only
  // the first evaluation is logged and counted.
  step_->set_muted(evaluated_);
  if (evaluated_) begin_window();
  loss_ = batch_->rows() > 0 ? forward() : torch::Tensor();
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
    complete_gradients();
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

void TrainingStep::backward(const torch::Tensor& loss) {
  const auto rows = static_cast<double>(batch_->rows());
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
    all_rows_ = parts_.strategy.backward(parts_.module, loss, rows / full_rows_,
                                         window_ends_ ? std::optional(window_rows_) : std::nullopt);
  }
  if (!loss.defined()) return;
  parts_.hooks.call_batch(BatchHook::after_backward, &Hooks::on_after_backward, *step_);
}

void TrainingStep::complete_gradients() {
  if (optimizer_ == nullptr) return;
  const at::NoGradGuard no_grad;
  if (!all_rows_) {
    parts_.strategy.scale_gradients(parameters_, full_rows_);
  } else if (*all_rows_ != full_rows_) {
    for (const auto& parameter : parameters_) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(full_rows_ / *all_rows_);
    }
  }
  parts_.hooks.call_batch(BatchHook::before_optimizer_step, &Hooks::on_before_optimizer_step,
                          *optimizer_, *step_);
  if (parts_.options.gradient_clip_val.value_or(0.0) == 0.0) return;
  if (parts_.options.gradient_clip_algorithm == "value") {
    clip_grad_value(parameters_, *parts_.options.gradient_clip_val);
  } else {
    parts_.strategy.clip_grad_norm(parameters_, *parts_.options.gradient_clip_val);
  }
}

}  // namespace levin
