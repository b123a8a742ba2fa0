#include <levin/framework/solvers/saga.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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

/// The largest curvature of a single row's part of the objective, as if that were all of it. Over
/// ranks, the objective is one of this rank's rows, of which `share` is the sum of the weights.
double row_curvature(LinearProblem& problem, double share) {
  const auto& rows = problem.by_row();
  const auto* weights = problem.weights.const_data_ptr<double>();
  double largest = 0.0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const double square = sum_over(rows.at(i), [](double x, int64_t) { return x * x; });
    largest = std::max(largest, weights[i] / share * (square + (problem.has_bias() ? 1.0 : 0.0)));
  }
  return static_cast<double>(problem.rows()) * largest * largest_curvature(problem);
}

/// The length of a step among `rows` rows.
double step_length(const LinearProblem& problem, bool is_unbiased, double largest, double rows) {
  const double curvature = largest + 2.0 * problem.l2;
  if (!(curvature > 0.0)) return 1.0;  // all features are 0
  if (!is_unbiased) return 1.0 / curvature;
  return 1.0 / (2.0 * curvature + std::min(4.0 * rows * problem.l2, curvature));
}

double* numbers_of(torch::Tensor& tensor) { return tensor.mutable_data_ptr<double>(); }

}  // namespace

/// How many steps of which length and kind an epoch has, and what the weights of its rows are
/// divided by.
struct StochasticAverage::Walk {
  int64_t steps;
  double length;
  bool is_unbiased;
  double share = 1.0;
};

/// Draws of rows, with a step after each.
class StochasticAverage::Epoch {
 public:
  Epoch(StochasticAverage& solver, LinearProblem& problem, LinearProblem::Point& point,
        const Walk& walk)
      : problem_(problem),
        rows_(problem.by_row()),
        walk_(walk),
        steps_(walk.length, problem.l1, problem.l2, rows_.is_sparse() ? walk.steps : 0),
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
    for (int64_t t = 0; t < walk_.steps; ++t) {
      step(static_cast<int64_t>(generator.below(count)), t);
    }
    for (size_t j = 0; j < done_.size(); ++j) catch_up(static_cast<int64_t>(j), walk_.steps);
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
    const double weight = problem_.weights.const_data_ptr<double>()[i] / walk_.share;
    row_losses(problem_.kind,
               {.outputs = outputs_.data(),
                .rows = 1,
                .count = problem_.outputs,
                .targets = problem_.targets.const_data_ptr<double>() +
                           i * (is_squared ? problem_.outputs : 1),
                .weights = &weight,
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
    const double factor =
        walk_.is_unbiased ? change * static_cast<double>(problem_.rows()) : change;
    for_each_entry(x, [=, steps = steps_.single()](double v, int64_t j) {
      w[j] = steps.next(w[j], average[j] + factor * v);
      average[j] += change * v;
    });
    if (!problem_.has_bias()) return;
    bias_[k] -= walk_.length * (bias_average_[k] + factor);
    bias_average_[k] += change;
  }

  LinearProblem& problem_;
  const EntryLists& rows_;
  Walk walk_;
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
      {"hand_over", &o.hand_over, "whether lbfgs goes on once the iterations have become slow"},
  });
}

StochasticAverage::StochasticAverage(std::vector<torch::Tensor> parameters,
                                     StochasticAverageOptions options)
    : LinearSolver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter},
                   options.hand_over),
      options_(options) {}

SAGA::SAGA(std::vector<torch::Tensor> parameters, StochasticAverageOptions options)
    : StochasticAverage(std::move(parameters), options) {}

SAG::SAG(std::vector<torch::Tensor> parameters, StochasticAverageOptions options)
    : StochasticAverage(std::move(parameters), options) {}

/// Sets the slopes to those at the point.
void StochasticAverage::set_slopes(LinearProblem& problem, const LinearProblem::Point& point) {
  slopes_ = at::empty({problem.rows(), problem.outputs}, at::kDouble);
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
}

void StochasticAverage::begin(LinearProblem& problem, const LinearProblem::Point& point) {
  set_slopes(problem, point);
  const auto& rows = problem.by_row();
  weight_average_ = at::zeros({problem.outputs, problem.features}, at::kDouble);
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
  if (problem.ranks() > 1) {
    walk_apart(problem, point);
    return true;
  }
  const bool is_first = !slopes_.defined() || slopes_.size(0) != problem.rows();
  if (is_first) begin(problem, point);
  // SAG goes along the average of gradients of which many are old. In the first iteration all are
  // those of one point, and would lead far beyond the optimum before rows are drawn again.
  const bool goes_unbiased = is_unbiased() || is_first || has_overshot_;
  KeyedGenerator generator(static_cast<uint64_t>(options_.seed),
                           static_cast<uint64_t>(iterations()));
  const Walk walk{.steps = problem.rows(),
                  .length = step_length(problem, goes_unbiased, row_curvature(problem, 1.0),
                                        static_cast<double>(problem.rows())),
                  .is_unbiased = goes_unbiased};
  Epoch(*this, problem, point, walk).run(generator);
  return true;
}

/// Takes steps on each rank and then the mean of the points that they led to.
void StochasticAverage::walk_apart(LinearProblem& problem, LinearProblem::Point& point) {
  const double share = problem.weights.sum().item<double>();
  std::vector<double> curvatures(static_cast<size_t>(problem.ranks()));
  if (share > 0.0) curvatures[static_cast<size_t>(problem.rank())] = row_curvature(problem, share);
  problem.sum(curvatures);
  const auto all_rows = static_cast<double>(problem.all_rows());
  const Walk walk{.steps = std::max<int64_t>(std::llround(step_share_ * all_rows), 1),
                  .length = step_length(problem, is_unbiased(),
                                        *std::max_element(curvatures.begin(), curvatures.end()),
                                        all_rows / static_cast<double>(problem.ranks())),
                  .is_unbiased = is_unbiased(),
                  .share = share};
  if (share > 0.0) {
    set_slopes(problem, point);
    slopes_.div_(share);
    const auto whole = problem.loss_slopes(point_, gradient_);
    weight_average_ = whole.weight;
    bias_average_ = whole.bias;
    KeyedGenerator generator(static_cast<uint64_t>(options_.seed),
                             static_cast<uint64_t>(iterations()),
                             static_cast<uint64_t>(problem.rank()));
    Epoch(*this, problem, point, walk).run(generator);
  }
  slopes_.reset();
  std::vector<double> mean;
  for (const auto* part : {&point.weight, &point.bias}) {
    const auto* data = part->const_data_ptr<double>();
    for (int64_t j = 0; j < part->numel(); ++j) mean.push_back(share * data[j]);
  }
  problem.sum(mean);
  std::copy_n(mean.data(), point.weight.numel(), numbers_of(point.weight));
  std::copy_n(mean.data() + point.weight.numel(), point.bias.numel(), numbers_of(point.bias));
}

bool StochasticAverage::take(Objective& objective, const LinearProblem& problem,
                             torch::Tensor next) {
  const bool is_alone = problem.ranks() == 1;
  if (is_alone && (is_unbiased() || has_overshot_)) {
    return move_to(objective, std::move(next), /*must_descend=*/false);
  }
  const auto point = point_;
  const auto gradient = gradient_;
  const double value = value_;
  if (!is_alone && least_gradient_ == 0.0) least_gradient_ = gradient_norm();
  move_to(objective, std::move(next), /*must_descend=*/false);
  const double rounding = 8.0 * std::numeric_limits<double>::epsilon() * std::abs(value);
  const auto go_back = [&] {
    point_ = point;
    gradient_ = gradient;
    value_ = value;
    return true;
  };
  if (is_alone) {
    has_overshot_ = value_ > value + rounding;
    if (!has_overshot_) return true;
    slopes_.reset();
    return go_back();
  }
  const double norm = least_subgradient(objective, point_, gradient_).abs().max().item<double>();
  const bool is_same = value_ <= value + rounding;
  const bool is_better = value_ < value - rounding || (is_same && norm < gradient_norm()) ||
                         norm <= 0.9 * least_gradient_;
  step_share_ = is_better ? std::min(1.0, 1.2 * step_share_) : 0.5 * step_share_;
  if (is_better || is_same) {
    least_gradient_ = std::min(least_gradient_, norm);
    return true;
  }
  return go_back();
}

void StochasticAverage::forget() {
  for (auto* each : {&slopes_, &weight_average_, &bias_average_}) each->reset();
}

void StochasticAverage::save(StateDict& state) const {
  LinearSolver::save(state);
  if (least_gradient_ > 0.0) {
    state.values["seed"] = options_.seed;
    state.values["step_share"] = step_share_;
    state.values["least_gradient"] = least_gradient_;
  }
  if (has_overshot_) state.values["has_overshot"] = true;
  if (!slopes_.defined()) return;
  state.values["seed"] = options_.seed;
  state.tensors["slopes"] = slopes_;
  state.tensors["weight_average"] = weight_average_;
  state.tensors["bias_average"] = bias_average_;
}

void StochasticAverage::load(const StateDict& state) {
  LinearSolver::load(state);
  if (state.values.contains("seed")) options_.seed = state.values.at("seed").as_int();
  if (state.values.contains("step_share")) {
    step_share_ = state.values.at("step_share").as_double();
    least_gradient_ = state.values.at("least_gradient").as_double();
  }
  if (state.values.contains("has_overshot")) {
    has_overshot_ = state.values.at("has_overshot").as_bool();
  }
  if (state.tensors.count("slopes") == 0) return;
  slopes_ = state.tensor("slopes").to(at::kCPU, at::kDouble).clone();
  weight_average_ = state.tensor("weight_average").to(at::kCPU, at::kDouble).clone();
  bias_average_ = state.tensor("bias_average").to(at::kCPU, at::kDouble).clone();
}

}  // namespace levin
