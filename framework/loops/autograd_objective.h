#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The objective of any module: the mean over all rows of the losses that `training_step` returns,
/// with whatever penalties these contain. Gradients come from autograd, and Hessian products from
/// differentiating twice. The module must compute its loss by operations that allow that; the
/// shipped models then leave out their closed forms. Nothing that steps log is kept.
///
/// A penalty that isn't smooth (L1) is treated as if it were, and the module's random numbers
/// (dropout) should be off: use it for modules in evaluation mode or without such layers.
class AutogradObjective final : public Objective {
 public:
  /// Keeps references to `rows` and to what `parts` refers to.
  AutogradObjective(LoopParts parts, RowSource& rows, std::vector<torch::Tensor> parameters);

  int64_t size() const override { return size_; }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override;
  torch::Tensor hessian_product(const torch::Tensor& vector) override;
  double noise() const override { return noise_; }

 private:
  template <class Add>
  torch::Tensor pass(Add add);
  void move_to(const torch::Tensor& point);
  torch::Tensor loss_of(const Batch& batch);
  std::vector<torch::Tensor> split(const torch::Tensor& flat) const;

  LoopParts parts_;
  RowSource& rows_;
  std::vector<torch::Tensor> parameters_;
  int64_t size_ = 0;
  double noise_ = 1e-14;
  LoggedValues ignored_;
  StepControl step_;
};

}  // namespace levin
