#include <levin/framework/solvers/regularization_path.h>

#include <cmath>
#include <memory>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/automatic_solver.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/framework/solvers/penalty_checks.h>
#include <levin/framework/solvers/solver.h>

namespace levin {
namespace {

std::string path_solver(const PathOptions& options, const LinearLoss& loss) {
  if (options.solver != "auto") return options.solver;
  const int64_t biases = loss.bias.defined() ? loss.bias.numel() : 0;
  return automatic_solver(options.l1_ratio > 0.0, loss.weight.numel() + biases,
                          loss.weight.size(1));
}

/// Minimises the loss with the strengths that it has, and writes the optimum to its parameters.
PathPoint minimise_loss(RowSource& rows, const LinearLoss& loss, const PathOptions& options) {
  std::vector<torch::Tensor> parameters;
  parameters.reserve(2);
  parameters.push_back(loss.weight);
  if (loss.bias.defined()) parameters.push_back(loss.bias);
  const auto optimizer =
      shipped_optimizers()
          .at(path_solver(options, loss))
          .make(Value::Object{{"tol", options.tol}, {"max_iter", options.max_iter}}, parameters);
  auto* const solver = dynamic_cast<Solver*>(optimizer.get());
  if (solver == nullptr) {
    throw ConfigError::invalid_value("solver", options.solver,
                                     "must be a solver, which trains on all rows at once");
  }
  LinearObjective objective(rows, loss, solver->stepped());
  objective.raise_precision();
  while (!solver->is_done()) solver->iterate(objective);
  PathPoint point{.weight = loss.weight, .bias = loss.bias};
  point.objective = solver->objective();
  point.gradient_norm = solver->gradient_norm();
  point.iterations = solver->iterations();
  point.has_converged = solver->has_converged();
  return point;
}

}  // namespace

double sum_of_weights(RowSource& rows) {
  auto sum = at::zeros({1}, at::kDouble);
  rows.pass([&](const Batch& batch) {
    if (batch.has("weight")) {
      sum.add_(batch.weight().to(at::kCPU, at::kDouble).sum());
    } else {
      sum.add_(static_cast<double>(batch.rows()));
    }
  });
  rows.sum(sum);
  return sum.item<double>();
}

LinearLoss with_strengths_of_c(LinearLoss loss, double C, double l1_ratio, double total_weight) {
  loss.l1_strength = l1_ratio / (C * total_weight);
  loss.l2_strength = (1.0 - l1_ratio) / (2.0 * C * total_weight);
  return loss;
}

std::vector<PathPoint> regularization_path(RowSource& rows, const LinearLoss& loss,
                                           std::span<const double> Cs, const PathOptions& options) {
  const at::NoGradGuard no_grad;
  check_l1_ratio("l1_ratio", options.l1_ratio);
  const double total = sum_of_weights(rows);
  std::vector<PathPoint> path;
  auto from = loss;
  for (const double c : Cs) {
    path.push_back(find_path_point(rows, from, c, options, total));
    from.weight = path.back().weight;
    from.bias = path.back().bias;
  }
  return path;
}

PathPoint find_path_point(RowSource& rows, const LinearLoss& from, double C,
                          const PathOptions& options, double total_weight) {
  const at::NoGradGuard no_grad;
  if (!(C > 0.0) || !std::isfinite(C)) {
    throw ConfigError::invalid_value("C", fmt::format("{}", C), "must be above 0 and finite");
  }
  auto own = with_strengths_of_c(from, C, options.l1_ratio, total_weight);
  own.weight = from.weight.detach().to(at::kCPU, at::kDouble).clone();
  if (from.bias.defined()) own.bias = from.bias.detach().to(at::kCPU, at::kDouble).clone();
  auto point = minimise_loss(rows, own, options);
  point.C = C;
  return point;
}

std::vector<double> log_spaced(double first, double last, int64_t count) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0.0;
    numbers.push_back(std::pow(10.0, std::log10(first) * (1.0 - share) + std::log10(last) * share));
  }
  return numbers;
}

}  // namespace levin
