#include <levin/framework/loops/manual_step.h>

#include <algorithm>
#include <unordered_set>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/solvers/online_learner.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

ManualStep::ManualStep(LoopParts parts, Optimizers& optimizers, Schedules* schedules,
                       GradientScaler* scaler)
    : parts_(parts), schedules_(schedules), scaler_(scaler) {
  check_options();
  for (auto& entry : optimizers.entries()) {
    check_optimizer(*entry.optimizer);
    items_.push_back({entry.optimizer.get(), parts_.strategy.with_gradients(*entry.optimizer)});
  }
  parts_.strategy.sum_by_optimizer(parts_.module, optimizers);
}

void ManualStep::check_options() const {
  const TrainerOptions& options = parts_.options;
  const auto refuse = [](const std::string& option, std::string_view hint) {
    throw ConfigError::conflict(option + " with a module that optimizes by hand", hint);
  };
  if (options.accumulate_grad_batches > 1) {
    refuse(fmt::format("accumulate_grad_batches = {}", options.accumulate_grad_batches),
           "use 1; training_step decides after how many batches it calls Step::step");
  }
  if (options.gradient_clip_val.value_or(0.0) != 0.0) {
    refuse(fmt::format("gradient_clip_val = {}", *options.gradient_clip_val),
           "leave it out, and call Step::clip_gradients in training_step");
  }
}

void ManualStep::check_optimizer(const Optimizer& optimizer) const {
  const bool is_learner = dynamic_cast<const OnlineLearner*>(&optimizer) != nullptr ||
                          dynamic_cast<const Solver*>(&optimizer) != nullptr;
  if (!is_learner && !optimizer.reevaluates_closure()) return;
  throw ConfigError::conflict(
      fmt::format("the optimizer {} with a module that optimizes by hand", optimizer.name()),
      "it computes losses and gradients by itself; use one that steps by gradients that are there, "
      "such as SGD or Adam");
}

int64_t ManualStep::run(const Batch& batch, StepControl& step, int64_t global_rows) {
  steps_ = 0;
  loss_.reset();
  const int64_t ranks = parts_.strategy.ranks().size();
  if (global_rows < ranks) {
    parts_.run.warn(fmt::format(
        "batches of fewer rows than there are ranks are left out, because the module optimizes by "
        "hand: the last one has {} for {} ranks. Set drop_last = true, or another batch size",
        counted(global_rows, "row"), ranks));
    return 0;
  }
  batch_ = &batch;
  step_ = &step;
  weight_ = ranks == 1 ? 1.0 : static_cast<double>(batch.rows()) / static_cast<double>(global_rows);
  found_inf_.reset();
  step.set_manual(this);
  try {
    const at::AutoGradMode with_gradients(true);
    const ProfilePart profiled(parts_.profiler, Part::forward);
    const AutocastScope scope = parts_.autocast();
    loss_ = parts_.module.training_step(batch, step);
  } catch (...) {
    end_batch();
    throw;
  }
  end_batch();
  check_all_used();
  update_scale();
  if (loss_.defined()) loss_ = loss_.detach();
  return steps_;
}

void ManualStep::end_batch() {
  step_->set_manual(nullptr);
  untoggle();
}

/// Gradients that are complete can't be added to in later batches.
void ManualStep::check_all_used() const {
  for (const Item& one : items_) {
    if (!one.is_complete || one.is_used) continue;
    throw ModuleError::contract(
        "training_step",
        fmt::format("clipped the gradients of optimizer {} and didn't use them",
                    &one - items_.data()),
        "call Step::step after Step::clip_gradients, in the same training_step");
  }
}

auto ManualStep::item(size_t optimizer, const char* function) -> Item& {
  if (optimizer < items_.size()) return items_[optimizer];
  throw ModuleError::contract(
      fmt::format("Step::{}({})", function, optimizer),
      fmt::format("configure_optimizers returned {}", counted(items_.size(), "optimizer")),
      "optimizers are numbered from 0, in the order in which they were added");
}

void ManualStep::backward(const torch::Tensor& loss) {
  if (!loss.defined() || loss.numel() != 1 || !loss.requires_grad()) {
    throw ModuleError::contract("Step::backward", "the loss isn't a scalar with a graph",
                                "compute a mean over the rows from parameters that require "
                                "gradients: toggle lets only those of one optimizer do so");
  }
  for (Item& one : items_) {
    const bool takes_part =
        std::any_of(one.parameters.begin(), one.parameters.end(),
                    [](const torch::Tensor& parameter) { return parameter.requires_grad(); });
    if (!takes_part) continue;
    if (one.is_complete && !one.is_used) {
      throw ModuleError::contract(
          "Step::backward",
          fmt::format("the gradients of optimizer {} were clipped already, and aren't used yet",
                      &one - items_.data()),
          "call step before the next backward, or toggle another optimizer");
    }
    one.has_own = one.has_own || !one.is_used;
  }
  const AutocastPause pause(parts_.strategy.device().type());
  parts_.hooks.call_batch(BatchHook::before_backward, &Hooks::on_before_backward, loss, *step_);
  {
    const ProfilePart profiled(parts_.profiler, Part::backward);
    parts_.strategy.backward(parts_.module, scaler_ != nullptr ? scaler_->scale(loss) : loss,
                             weight_, std::nullopt);
  }
  parts_.hooks.call_batch(BatchHook::after_backward, &Hooks::on_after_backward, *step_);
}

void ManualStep::zero_grad(size_t optimizer) {
  Item& one = item(optimizer, "zero_grad");
  parts_.hooks.call_batch(BatchHook::before_zero_grad, &Hooks::on_before_zero_grad, *one.optimizer,
                          *step_);
  one.optimizer->zero_grad();
  one.has_own = one.is_complete = one.is_used = false;
}

/// Makes the gradients what the optimizer shall step by, unless they are that already.
void ManualStep::complete(Item& one) {
  if (one.is_used) {
    throw ModuleError::contract(
        "Step::step",
        fmt::format("optimizer {} has used its gradients in an earlier step", &one - items_.data()),
        "call zero_grad for it before the next backward, because gradients add up until then");
  }
  if (one.is_complete) return;
  const at::NoGradGuard no_grad;
  parts_.strategy.sum_gradients_of(parts_.module, static_cast<size_t>(&one - items_.data()));
  one.is_complete = true;
  one.has_own = false;
  if (scaler_ == nullptr) return;
  scaler_->unscale(one.parameters);
  const auto& found = scaler_->found_inf();
  one.is_finite = found.item<float>() == 0.0F;
  found_inf_ = found_inf_.defined() ? at::maximum(found_inf_, found) : found.clone();
}

torch::Tensor ManualStep::clip_gradients(size_t optimizer, double max_norm) {
  Item& one = item(optimizer, "clip_gradients");
  complete(one);
  return clip_grad_norm(one.parameters, max_norm);
}

void ManualStep::clip_gradient_values(size_t optimizer, double clip_value) {
  Item& one = item(optimizer, "clip_gradient_values");
  complete(one);
  clip_grad_value(one.parameters, clip_value);
}

void ManualStep::clip_by_options() {
  throw ModuleError::contract("Step::clip_by_options", "the module optimizes by hand",
                              "call Step::clip_gradients, which clips the gradients of an "
                              "optimizer by a norm that you say");
}

bool ManualStep::step(size_t optimizer) {
  Item& one = item(optimizer, "step");
  complete(one);
  one.is_used = true;
  if (!one.is_finite) return false;
  {
    const AutocastPause pause(parts_.strategy.device().type());
    const at::NoGradGuard no_grad;
    parts_.hooks.call_batch(BatchHook::before_optimizer_step, &Hooks::on_before_optimizer_step,
                            *one.optimizer, *step_);
    const ProfilePart profiled(parts_.profiler, Part::optimizer);
    one.optimizer->step();
  }
  ++steps_;
  ++parts_.run.progress().global_step;
  if (schedules_ != nullptr) schedules_->advance_step_of(*one.optimizer);
  return true;
}

void ManualStep::toggle(size_t optimizer) {
  Item& chosen = item(optimizer, "toggle");
  untoggle();
  std::unordered_set<const void*> own;
  for (const auto& parameter : chosen.parameters) own.insert(parameter.unsafeGetTensorImpl());
  for (Item& one : items_) {
    for (auto& parameter : one.parameters) {
      if (own.contains(parameter.unsafeGetTensorImpl())) continue;
      toggled_.emplace_back(parameter, parameter.requires_grad());
      parameter.requires_grad_(false);
    }
  }
}

void ManualStep::untoggle() {
  // Backwards, so that a parameter of two optimizers gets back what it had first.
  for (auto one = toggled_.rbegin(); one != toggled_.rend(); ++one) {
    one->first.requires_grad_(one->second);
  }
  toggled_.clear();
}

void ManualStep::update_scale() {
  if (!found_inf_.defined()) return;
  const at::NoGradGuard no_grad;
  const double before = scaler_->current_scale();
  scaler_->found_inf().copy_(found_inf_);
  scaler_->skips();  // counts
  scaler_->update();
  const double after = scaler_->current_scale();
  if (before == after) return;
  for (Item& one : items_) {
    if (one.has_own) scale_gradients(one.parameters, at::full({}, after / before, at::kDouble));
  }
}

StateDict ManualStep::left_gradients() const {
  StateDict state;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (!items_[i].has_own) continue;
    size_t number = 0;
    for (const auto& parameter : items_[i].parameters) {
      const auto name = fmt::format("{}.{}", i, number++);
      if (parameter.grad().defined()) state.tensors[name] = parameter.grad();
    }
  }
  return state;
}

void ManualStep::load_left_gradients(const StateDict& gradients) {
  for (size_t i = 0; i < items_.size(); ++i) {
    Item& one = items_[i];
    size_t number = 0;
    for (auto& parameter : one.parameters) {
      const auto found = gradients.tensors.find(fmt::format("{}.{}", i, number++));
      if (found == gradients.tensors.end()) continue;
      if (found->second.sizes() != parameter.sizes()) {
        throw CheckpointError::mismatch("the gradients of the optimizers",
                                        {"a gradient has another shape than its parameter"});
      }
      parameter.mutable_grad() = found->second.to(parameter.options(), /*non_blocking=*/false,
                                                  /*copy=*/true);
      one.has_own = true;
    }
  }
}

}  // namespace levin
