#include <levin/framework/loops/autograd_objective.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/twice_differentiable.h>

namespace levin {
namespace {

/// Adds `weight` times tensors, in their order, to the flat `sums`; undefined ones count as 0.
void add_flat(const std::vector<torch::Tensor>& tensors, const std::vector<torch::Tensor>& like,
              double weight, const torch::Tensor& sums) {
  int64_t at = 0;
  for (size_t i = 0; i < like.size(); ++i) {
    const int64_t count = like[i].numel();
    if (tensors[i].defined()) {
      sums.narrow(0, at, count)
          .add_(tensors[i].detach().to(at::kCPU, at::kDouble).flatten(), weight);
    }
    at += count;
  }
}

}  // namespace

AutogradObjective::AutogradObjective(LoopParts parts, RowSource& rows,
                                     std::vector<torch::Tensor> parameters)
    : parts_(parts),
      rows_(rows),
      parameters_(std::move(parameters)),
      step_(parts.run, ignored_, /*on_step=*/true) {
  for (const auto& parameter : parameters_) {
    size_ += parameter.numel();
    if (parameter.scalar_type() != at::kDouble) noise_ = 2e-7;
  }
  step_.set_muted(true);
}

void AutogradObjective::move_to(const torch::Tensor& point) {
  const at::NoGradGuard no_grad;
  const auto parts = split(point);
  for (size_t i = 0; i < parts.size(); ++i) parameters_[i].copy_(parts[i]);
}

std::vector<torch::Tensor> AutogradObjective::split(const torch::Tensor& flat) const {
  std::vector<torch::Tensor> result;
  int64_t at = 0;
  for (const auto& parameter : parameters_) {
    result.push_back(
        flat.narrow(0, at, parameter.numel()).view(parameter.sizes()).to(parameter.options()));
    at += parameter.numel();
  }
  return result;
}

torch::Tensor AutogradObjective::loss_of(const Batch& batch) {
  const TwiceDifferentiable twice;
  auto loss = parts_.module.training_step(batch, step_);
  if (step_.batch_size()) {
    throw ModuleError::contract("training_step", "called Step::set_batch_size",
                                "a solver weights losses by the rows of their batches: train with "
                                "an optimizer that steps by batches");
  }
  if (loss.defined() && loss.numel() == 1 && loss.requires_grad()) return loss;
  throw ModuleError::contract("training_step", "returned no scalar with a graph",
                              "a solver needs the loss of every batch");
}

/// Calls add(batch, its share of the rows, sums) for each batch and returns the sums over all
/// ranks, [1 + size], divided by the number of rows.
template <class Add>
torch::Tensor AutogradObjective::pass(Add add) {
  const at::AutoGradMode with_gradients(true);
  auto sums = at::zeros({size_ + 2}, at::kDouble);
  rows_.pass([&](const Batch& batch) {
    if (batch.rows() == 0) return;
    const auto rows = static_cast<double>(batch.rows());
    sums.mutable_data_ptr<double>()[size_ + 1] += rows;
    add(batch, rows, sums.narrow(0, 0, size_ + 1));
  });
  rows_.sum(sums);
  return sums.narrow(0, 0, size_ + 1) / sums.data_ptr<double>()[size_ + 1];
}

double AutogradObjective::evaluate(const torch::Tensor& point, const torch::Tensor& gradient) {
  move_to(point);
  const auto sums = pass([&](const Batch& batch, double rows, const torch::Tensor& into) {
    const auto loss = loss_of(batch);
    const auto gradients = torch::autograd::grad({loss}, parameters_, {}, /*retain_graph=*/{},
                                                 /*create_graph=*/false, /*allow_unused=*/true);
    into.mutable_data_ptr<double>()[0] += rows * loss.item<double>();
    add_flat(gradients, parameters_, rows, into.narrow(0, 1, size_));
  });
  gradient.copy_(sums.narrow(0, 1, size_));
  return sums.data_ptr<double>()[0];
}

torch::Tensor AutogradObjective::hessian_product(const torch::Tensor& vector) {
  const auto directions = split(vector);
  const auto sums = pass([&](const Batch& batch, double rows, const torch::Tensor& into) {
    const auto loss = loss_of(batch);
    const auto gradients = torch::autograd::grad({loss}, parameters_, {}, /*retain_graph=*/true,
                                                 /*create_graph=*/true, /*allow_unused=*/true);
    torch::Tensor slope;
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined() || !gradients[i].requires_grad()) continue;
      const auto term = gradients[i].mul(directions[i]).sum();
      slope = slope.defined() ? slope + term : term;
    }
    if (!slope.defined()) return;  // the loss is linear in the parameters
    const auto products = torch::autograd::grad({slope}, parameters_, {}, /*retain_graph=*/{},
                                                /*create_graph=*/false, /*allow_unused=*/true);
    add_flat(products, parameters_, rows, into.narrow(0, 1, size_));
  });
  return sums.narrow(0, 1, size_).clone();
}

}  // namespace levin
