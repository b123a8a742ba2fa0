#include <levin/framework/solvers/saga.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/lazy_steps.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

/// The largest second derivative of a row's loss with respect to the outputs.
double largest_curvature(const LinearProblem& problem) {
  switch (problem.kind) {
    case LinearLoss::Kind::logistic:
      return 0.25;
    case LinearLoss::Kind::softmax:
      return 0.5;
    case LinearLoss::Kind::one_vs_rest:
      return 0.25 *
             (problem.output_weights.defined() ? problem.output_weights.max().item<double>() : 1.0);
    case LinearLoss::Kind::squared:
      break;
  }
  return 2.0 / static_cast<double>(problem.outputs);
}

/// The length of a step, by the largest curvature of a single row's part of the objective.
double step_length(LinearProblem& problem, bool is_unbiased) {
  const auto& rows = problem.by_row();
  const auto* weights = problem.weights.const_data_ptr<double>();
  double largest = 0.0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const double square = sum_over(rows.at(i), [](double x, int64_t) { return x * x; });
    largest = std::max(largest, weights[i] * (square + (problem.has_bias() ? 1.0 : 0.0)));
  }
  const auto count = static_cast<double>(problem.rows());
  const double curvature = count * largest * largest_curvature(problem) + 2.0 * problem.l2;
  if (!(curvature > 0.0)) return 1.0;  // all features are 0
  if (!is_unbiased) return 1.0 / curvature;
  return 1.0 / (2.0 * curvature + std::min(4.0 * count * problem.l2, curvature));
}

double* numbers_of(torch::Tensor& tensor) { return tensor.mutable_data_ptr<double>(); }

}  // namespace

/// One pass of draws.
class StochasticAverage::Epoch {
 public:
  Epoch(StochasticAverage& solver, LinearProblem& problem, LinearProblem::Point& point)
      : problem_(problem),
        rows_(problem.by_row()),
        is_unbiased_(solver.is_unbiased()),
        length_(step_length(problem, is_unbiased_)),
        steps_(length_, problem.l1, problem.l2, rows_.is_sparse() ? problem.rows() : 0),
        weight_(numbers_of(point.weight)),
        bias_(numbers_of(point.bias)),
        slopes_(numbers_of(solver.slopes_)),
        weight_average_(numbers_of(solver.weight_average_)),
        bias_average_(numbers_of(solver.bias_average_)),
        done_(rows_.is_sparse() ? static_cast<size_t>(problem.features) : 0),
        outputs_(static_cast<size_t>(problem.outputs)),
        gradient_(outputs_.size()),
        unused_(outputs_.size()) {}

  void run(KeyedGenerator& generator) {
    const auto count = static_cast<uint64_t>(problem_.rows());
    for (uint64_t t = 0; t < count; ++t) {
      step(static_cast<int64_t>(generator.below(count)), static_cast<int64_t>(t));
    }
    for (size_t j = 0; j < done_.size(); ++j) {
      catch_up(static_cast<int64_t>(j), static_cast<int64_t>(count));
    }
  }

 private:
  /// Takes the steps that an entry has missed before step `t`, in which its row's feature was 0.
  void catch_up(int64_t j, int64_t t) {
    int64_t& done = done_[static_cast<size_t>(j)];
    if (done < t) {
      for (int64_t k = 0; k < problem_.outputs; ++k) {
        double& w = weight_[k * problem_.features + j];
        w = steps_.many(w, weight_average_[k * problem_.features + j], t - done);
      }
    }
    done = t;
  }

  /// Step `t`, with row i.
  void step(int64_t i, int64_t t) {
    const auto x = rows_.at(i);
    if (!done_.empty()) for_each_entry(x, [&](double, int64_t j) { catch_up(j, t); });
    for (int64_t k = 0; k < problem_.outputs; ++k) {
      const double* w = weight_ + k * problem_.features;
      outputs_[static_cast<size_t>(k)] =
          bias_[k] + sum_over(x, [&](double v, int64_t j) { return v * w[j]; });
    }
    const bool is_squared = problem_.kind == LinearLoss::Kind::squared;
    row_losses(problem_.kind,
               {.outputs = outputs_.data(),
                .rows = 1,
                .count = problem_.outputs,
                .targets = problem_.targets.const_data_ptr<double>() +
                           i * (is_squared ? problem_.outputs : 1),
                .weights = problem_.weights.const_data_ptr<double>() + i,
                .output_weights = problem_.output_weights_data()},
               gradient_.data(), unused_.data());
    for (int64_t k = 0; k < problem_.outputs; ++k) {
      double& slope = slopes_[i * problem_.outputs + k];
      const double change = gradient_[static_cast<size_t>(k)] - slope;
      slope += change;
      update(x, k, change);
    }
    if (!done_.empty()) {
      for_each_entry(x, [&](double, int64_t j) { done_[static_cast<size_t>(j)] = t + 1; });
    }
  }

  /// Moves the entries of output k whose features the row has, after its slope changed by `change`.
  void update(const Entries& x, int64_t k, double change) {
    double* w = weight_ + k * problem_.features;
    double* average = weight_average_ + k * problem_.features;
    // SAGA: the row's new gradient in place of its old one, as if it were that of all rows.
    const double factor = is_unbiased_ ? change * static_cast<double>(problem_.rows()) : change;
    for_each_entry(x, [=, steps = steps_.single()](double v, int64_t j) {
      w[j] = steps.next(w[j], average[j] + factor * v);
      average[j] += change * v;
    });
    if (!problem_.has_bias()) return;
    bias_[k] -= length_ * (bias_average_[k] + factor);
    bias_average_[k] += change;
  }

  LinearProblem& problem_;
  const EntryLists& rows_;
  bool is_unbiased_;
  double length_;
  LazySteps steps_;
  double* weight_;
  double* bias_;
  double* slopes_;
  double* weight_average_;
  double* bias_average_;
  std::vector<int64_t> done_;  // the steps that each feature's entries have taken; empty: dense
  std::vector<double> outputs_;
  std::vector<double> gradient_;
  std::vector<double> unused_;
};

Fields describe(StochasticAverageOptions& o) {
  return fields_of<StochasticAverageOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"seed", &o.seed, "determines which rows are drawn"},
  });
}

StochasticAverage::StochasticAverage(std::vector<torch::Tensor> parameters,
                                     StochasticAverageOptions options)
    : LinearSolver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter}),
      options_(options) {}

SAGA::SAGA(std::vector<torch::Tensor> parameters, StochasticAverageOptions options)
    : StochasticAverage(std::move(parameters), options) {}

SAG::SAG(std::vector<torch::Tensor> parameters, StochasticAverageOptions options)
    : StochasticAverage(std::move(parameters), options) {}

void StochasticAverage::begin(LinearProblem& problem, const LinearProblem::Point& point) {
  slopes_ = at::empty({problem.rows(), problem.outputs}, at::kDouble);
  weight_average_ = at::zeros({problem.outputs, problem.features}, at::kDouble);
  auto outputs = at::empty_like(slopes_);
  const auto& rows = problem.by_row();
  for (int64_t i = 0; i < problem.rows(); ++i) {
    for (int64_t k = 0; k < problem.outputs; ++k) {
      const double* w = point.weight.const_data_ptr<double>() + k * problem.features;
      numbers_of(outputs)[i * problem.outputs + k] =
          point.bias.const_data_ptr<double>()[k] +
          sum_over(rows.at(i), [&](double v, int64_t j) { return v * w[j]; });
    }
  }
  auto unused = at::empty_like(slopes_);
  row_losses(problem.kind,
             {.outputs = numbers_of(outputs),
              .rows = problem.rows(),
              .count = problem.outputs,
              .targets = problem.targets.const_data_ptr<double>(),
              .weights = problem.weights.const_data_ptr<double>(),
              .output_weights = problem.output_weights_data()},
             numbers_of(slopes_), numbers_of(unused));
  for (int64_t i = 0; i < problem.rows(); ++i) {
    for (int64_t k = 0; k < problem.outputs; ++k) {
      double* average = numbers_of(weight_average_) + k * problem.features;
      const double slope = numbers_of(slopes_)[i * problem.outputs + k];
      for_each_entry(rows.at(i), [&](double v, int64_t j) { average[j] += slope * v; });
    }
  }
  bias_average_ = slopes_.sum(0);
}

bool StochasticAverage::improve(LinearProblem& problem, LinearProblem::Point& point) {
  if (!slopes_.defined() || slopes_.size(0) != problem.rows()) begin(problem, point);
  KeyedGenerator generator(static_cast<uint64_t>(options_.seed),
                           static_cast<uint64_t>(iterations()));
  Epoch(*this, problem, point).run(generator);
  return true;
}

void StochasticAverage::save(StateDict& state) const {
  if (!slopes_.defined()) return;
  state.values["seed"] = options_.seed;
  state.tensors["slopes"] = slopes_;
  state.tensors["weight_average"] = weight_average_;
  state.tensors["bias_average"] = bias_average_;
}

void StochasticAverage::load(const StateDict& state) {
  if (state.tensors.count("slopes") == 0) return;
  options_.seed = state.values.at("seed").as_int();
  slopes_ = state.tensor("slopes").to(at::kCPU, at::kDouble).clone();
  weight_average_ = state.tensor("weight_average").to(at::kCPU, at::kDouble).clone();
  bias_average_ = state.tensor("bias_average").to(at::kCPU, at::kDouble).clone();
}

}  // namespace levin
