#include <levin/framework/loops/step_clipping.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>

namespace levin {
namespace {

[[noreturn]] void refuse_while_clipping(const char* function) {
  throw ModuleError::contract(
      fmt::format("Step::{}", function), "was called in configure_gradient_clipping",
      "call only clip_by_options, clip_gradients and clip_gradient_values there");
}

void require_first_optimizer(size_t optimizer, const char* function) {
  if (optimizer == 0) return;
  throw ModuleError::contract(fmt::format("Step::{}({})", function, optimizer),
                              "the Trainer steps one optimizer", "its number is 0");
}

}  // namespace

void StepClipping::clip(Optimizer& optimizer, StepControl& step) {
  norm_.reset();
  step.set_manual(this);
  try {
    parts_.module.configure_gradient_clipping(optimizer, step);
  } catch (...) {
    step.set_manual(nullptr);
    throw;
  }
  step.set_manual(nullptr);
}

void StepClipping::clip_by_options() {
  const double limit = parts_.options.gradient_clip_val.value_or(0.0);
  if (limit == 0.0) return;
  if (parts_.options.gradient_clip_algorithm == "value") {
    clip_grad_value(parameters_, limit);
  } else {
    norm_ = parts_.strategy.clip_grad_norm(parameters_, limit);
  }
}

torch::Tensor StepClipping::clip_gradients(size_t optimizer, double max_norm) {
  require_first_optimizer(optimizer, "clip_gradients");
  norm_ = parts_.strategy.clip_grad_norm(parameters_, max_norm);
  return norm_;
}

void StepClipping::clip_gradient_values(size_t optimizer, double clip_value) {
  require_first_optimizer(optimizer, "clip_gradient_values");
  clip_grad_value(parameters_, clip_value);
}

void StepClipping::backward(const torch::Tensor& /*loss*/) { refuse_while_clipping("backward"); }
void StepClipping::zero_grad(size_t /*optimizer*/) { refuse_while_clipping("zero_grad"); }
bool StepClipping::step(size_t /*optimizer*/) { refuse_while_clipping("step"); }
void StepClipping::toggle(size_t /*optimizer*/) { refuse_while_clipping("toggle"); }
void StepClipping::untoggle() { refuse_while_clipping("untoggle"); }

}  // namespace levin
