#include <levin/framework/loops/training_step.h>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/error.h>
#include <levin/framework/optimizers/clip.h>

namespace levin {

TrainingStep::TrainingStep(LoopParts parts, Optimizers& optimizers)
    : parts_(parts), closure_([this] { return closure(); }) {
  if (optimizers.size() > 1) {
    throw ModuleError::contract("configure_optimizers",
                                fmt::format("returned {} optimizers", optimizers.size()),
                                "training steps one optimizer; put all parameters into its groups");
  }
  if (optimizers.empty()) return;
  optimizer_ = optimizers.entries().front().optimizer.get();
  for (const auto& group : optimizer_->groups()) {
    parameters_.insert(parameters_.end(), group.parameters.begin(), group.parameters.end());
  }
  check_accumulation(parts_.options.accumulate_grad_batches);
}

void TrainingStep::check_accumulation(int64_t batches) const {
  if (batches <= 1 || optimizer_ == nullptr || !optimizer_->reevaluates_closure()) return;
  throw ConfigError::conflict(
      fmt::format("accumulate_grad_batches = {} with {}, which evaluates its closure again",
                  batches, optimizer_->name()),
      "use 1");
}

bool TrainingStep::run(const Batch& batch, StepControl& step, bool window_ends) {
  batch_ = &batch;
  step_ = &step;
  window_ends_ = window_ends;
  evaluated_ = false;
  if (window_batches_ == 0) {
    window_rows_ = first_rows_ = 0.0;
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
  return window_loss_.defined();
}

torch::Tensor TrainingStep::closure() {
  const at::AutoGradMode with_gradients(true);
  // An optimizer that evaluates again (LBFGS) starts its gradients anew; only the first evaluation
  // is logged and counted.
  step_->set_muted(evaluated_);
  if (evaluated_) window_rows_ = 0.0;
  loss_ = forward();
  if (loss_.defined()) {
    backward(loss_);
    loss_ = loss_.detach();
    window_loss_ = loss_;
  }
  evaluated_ = true;
  if (window_ends_ && window_loss_.defined()) complete_gradients();
  return window_ends_ ? window_loss_ : loss_;
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
  if (window_rows_ == 0.0) {
    first_rows_ = rows;
    if (optimizer_ != nullptr) {
      parts_.hooks.call_batch(BatchHook::before_zero_grad, &Hooks::on_before_zero_grad, *optimizer_,
                              *step_);
      optimizer_->zero_grad();
    }
  }
  window_rows_ += rows;
  parts_.hooks.call_batch(BatchHook::before_backward, &Hooks::on_before_backward, loss, *step_);
  {
    const ProfilePart profiled(parts_.profiler, Part::backward);
    parts_.strategy.backward(parts_.module, loss, rows / first_rows_, window_ends_);
  }
  parts_.hooks.call_batch(BatchHook::after_backward, &Hooks::on_after_backward, *step_);
}

void TrainingStep::complete_gradients() {
  if (optimizer_ == nullptr) return;
  const at::NoGradGuard no_grad;
  if (window_rows_ != first_rows_) {
    for (const auto& parameter : parameters_) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(first_rows_ / window_rows_);
    }
  }
  parts_.hooks.call_batch(BatchHook::before_optimizer_step, &Hooks::on_before_optimizer_step,
                          *optimizer_, *step_);
  if (parts_.options.gradient_clip_val.value_or(0.0) == 0.0) return;
  if (parts_.options.gradient_clip_algorithm == "value") {
    clip_grad_value(parameters_, *parts_.options.gradient_clip_val);
  } else {
    clip_grad_norm(parameters_, *parts_.options.gradient_clip_val);
  }
}

}  // namespace levin
