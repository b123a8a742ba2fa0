#include <levin/framework/solvers/dual_coordinate_descent.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

double sigmoid_of(double t) {
  const double e = std::exp(-std::abs(t));
  return t >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

/// The root of t + margin + reach * (sigmoid(t) - sigmoid(start)), which rises with t.
double dual_root(double start, double margin, double reach) {
  const double share = sigmoid_of(start);
  double low = -margin - reach * (1.0 - share);
  double high = -margin + reach * share;
  double t = std::clamp(start, low, high);
  constexpr int kMost = 100;
  for (int i = 0; i < kMost; ++i) {
    const double s = sigmoid_of(t);
    const double value = t + margin + reach * (s - share);
    if (std::abs(value) <= 1e-15 * (1.0 + std::abs(margin))) break;
    (value > 0.0 ? high : low) = t;
    const double next = t - value / (1.0 + reach * s * (1.0 - s));
    const double last = t;
    t = next > low && next < high ? next : low + 0.5 * (high - low);
    if (t == last) break;
  }
  return t;
}

/// The log-odds of the share on the line from that of `then` to that of `now` and, by `factor`,
/// beyond; `now` if that is near 0 or 1, compared with the share of `now`.
double extrapolated(double now, double then, double factor) {
  const auto beyond = [&](double sign) {
    const double share = sigmoid_of(sign * now);
    const double further = share + factor * (share - sigmoid_of(sign * then));
    return further > 0.1 * share ? further : 0.0;
  };
  const double share = beyond(1.0);
  const double rest = beyond(-1.0);
  return share > 0.0 && rest > 0.0 ? std::log(share) - std::log(rest) : now;
}

}  // namespace

/// A pass over all rows. With strength = 2 l2 and bounds C_i = weights_i / strength, the problem is
///
///     1/2 |W|^2 + sum_i C_i loss(W x_i + b),        W = sum_i a_i x_i,  a_i = -C_i loss'
///
/// and the bias b = multiplier + scale * sum_i a_i, as if each row had one more feature. Each rank
/// has the variables of its own rows.
class DualCoordinateDescent::Epoch {
 public:
  Epoch(DualCoordinateDescent& solver, LinearProblem& problem)
      : problem_(problem),
        rows_(problem.by_row()),
        outputs_(problem.outputs),
        is_logistic_(problem.kind != LinearLoss::Kind::squared),
        dual_(solver.dual_.mutable_data_ptr<double>()),
        multiplier_(solver.multiplier_.mutable_data_ptr<double>()),
        targets_(problem.targets.const_data_ptr<double>()),
        weight_(static_cast<size_t>(outputs_ * problem.features)),
        sums_(static_cast<size_t>(outputs_)),
        changes_(sums_.size() + 1) {
    std::vector<double> squares(1);
    for (int64_t i = 0; i < rows_.size(); ++i) {
      squares_.push_back(sum_over(rows_.at(i), [](double x, int64_t) { return x * x; }));
      squares[0] += squares_.back();
    }
    if (!problem.has_bias()) return;
    problem.sum(squares);
    scale_ = std::max(squares[0] / static_cast<double>(problem.all_rows()), 1e-12);
  }

  /// Begins at a point whose sums of variables are known.
  void begin_at(const LinearProblem::Point& point, const std::vector<double>& sums) {
    const auto* data = point.weight.const_data_ptr<double>();
    std::copy(data, data + point.weight.numel(), weight_.begin());
    sums_ = sums;
  }

  /// Adds up the weight and the variables over all ranks. A collective.
  void add_up() {
    std::fill(weight_.begin(), weight_.end(), 0.0);
    std::fill(sums_.begin(), sums_.end(), 0.0);
    auto all = changes_;
    for (int64_t i = 0; i < rows_.size(); ++i) {
      for (int64_t k = 0; k < outputs_; ++k) move(i, k, variable(i, k));
    }
    all.insert(all.end(), sums_.begin(), sums_.end());
    all.insert(all.end(), weight_.begin(), weight_.end());
    problem_.sum(all);
    const auto sums = all.begin() + outputs_ + 1;
    const auto weight = sums + outputs_;
    changes_.assign(all.begin(), sums);
    sums_.assign(sums, weight);
    weight_.assign(weight, all.end());
  }
  const std::vector<double>& sums() const { return sums_; }

  void run(KeyedGenerator& generator) {
    std::vector<int64_t> order(static_cast<size_t>(rows_.size()));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (size_t left = order.size(); left > 0; --left) {
      std::swap(order[left - 1], order[generator.below(left)]);
      const int64_t i = order[left - 1];
      for (int64_t k = 0; k < outputs_; ++k) update(i, k);
    }
  }

  LinearProblem::Point point() const {
    auto weight = at::empty({outputs_, problem_.features}, at::kDouble);
    auto bias = at::empty({outputs_}, at::kDouble);
    std::copy(weight_.begin(), weight_.end(), weight.mutable_data_ptr<double>());
    for (int64_t k = 0; k < outputs_; ++k) bias.mutable_data_ptr<double>()[k] = bias_of(k);
    return {std::move(weight), std::move(bias)};
  }

  /// Moves all variables on from where they are, by `factor` times the way from `last`, and sets
  /// `last` to where they were. Those of the logistic loss stay if this came near their bounds.
  void extrapolate(double factor, double* last) {
    for (int64_t i = 0; i < rows_.size(); ++i) {
      for (int64_t k = 0; k < outputs_; ++k, ++last) {
        double& dual = dual_[i * outputs_ + k];
        before_.push_back(variable(i, k));
        const double then = std::exchange(*last, dual);
        if (factor > 0.0) {
          dual = is_logistic_ ? extrapolated(dual, then, factor) : dual + factor * (dual - then);
        }
        begun_at_.push_back(variable(i, k));
      }
    }
  }

  /// Finds, after `extrapolate` and `run`, how much the variables have changed since before both,
  /// and whether the way leads back.
  void compare() {
    std::fill(changes_.begin(), changes_.end(), 0.0);
    size_t at = 0;
    for (int64_t i = 0; i < rows_.size(); ++i) {
      for (int64_t k = 0; k < outputs_; ++k, ++at) {
        const double now = variable(i, k);
        changes_[static_cast<size_t>(k)] += std::abs(now - before_[at]);
        changes_.back() += (begun_at_[at] - now) * (now - before_[at]);
      }
    }
  }
  bool leads_back() const { return changes_.back() > 0.0; }

  /// Raises the multipliers of the outputs whose variables have all but ceased to change, compared
  /// with how far their sum is from 0. Returns whether there were any.
  bool raise_multipliers() {
    bool is_raised = false;
    for (int64_t k = 0; problem_.has_bias() && k < outputs_; ++k) {
      const double sum = sums_[static_cast<size_t>(k)];
      if (changes_[static_cast<size_t>(k)] > 0.1 * std::abs(sum)) continue;
      multiplier_[k] += scale_ * sum;
      is_raised = true;
    }
    return is_raised;
  }

 private:
  double bound(int64_t i, int64_t k) const {
    return problem_.weight_of(i, k) / (2.0 * problem_.l2);
  }
  double sign(int64_t i, int64_t k) const { return problem_.is_one(i, k) ? 1.0 : -1.0; }
  double variable(int64_t i, int64_t k) const {
    const double dual = dual_[i * outputs_ + k];
    return is_logistic_ ? sign(i, k) * bound(i, k) * sigmoid_of(dual) : dual;
  }
  double bias_of(int64_t k) const {
    return problem_.has_bias() ? multiplier_[k] + scale_ * sums_[static_cast<size_t>(k)] : 0.0;
  }

  /// Adds `step` times the variable's row to the weight and the bias.
  void move(int64_t i, int64_t k, double step) {
    double* w = weight_.data() + k * problem_.features;
    for_each_entry(rows_.at(i), [&](double x, int64_t j) { w[j] += step * x; });
    sums_[static_cast<size_t>(k)] += step;
  }

  /// Changes a variable by `step`, as if a variable of each rank changed the weight in this way.
  void change(int64_t i, int64_t k, double step) {
    move(i, k, ranks_ * step);
    changes_[static_cast<size_t>(k)] += std::abs(step);
  }

  /// Minimises the dual over one variable.
  void update(int64_t i, int64_t k) {
    const double most = bound(i, k);
    if (most == 0.0) return;  // the row has no weight
    const double* w = weight_.data() + k * problem_.features;
    const double output =
        bias_of(k) + sum_over(rows_.at(i), [&](double x, int64_t j) { return x * w[j]; });
    const double square = ranks_ * (squares_[static_cast<size_t>(i)] + scale_);
    double& dual = dual_[i * outputs_ + k];
    if (is_logistic_) {
      const double before = sigmoid_of(dual);
      dual = dual_root(dual, sign(i, k) * output, square * most);
      change(i, k, sign(i, k) * most * (sigmoid_of(dual) - before));
    } else {
      const double softness = static_cast<double>(outputs_) / (2.0 * most);
      const double error = targets_[i * outputs_ + k] - output;
      const double step = (error - softness * dual) / (square + softness);
      dual += step;
      change(i, k, step);
    }
  }

  LinearProblem& problem_;
  const EntryLists& rows_;
  int64_t outputs_;
  bool is_logistic_;
  double scale_ = 0.0;
  double ranks_ = static_cast<double>(problem_.ranks());
  double* dual_;
  double* multiplier_;
  const double* targets_;
  std::vector<double> weight_;  // [outputs, features]
  std::vector<double> sums_;    // [outputs]: of the variables
  // [outputs]: the sums of the sizes of their steps. The last one is above 0 if, after an
  // extrapolation, the way leads back.
  std::vector<double> changes_;
  std::vector<double> before_;    // [rows, outputs]: the variables before an extrapolation
  std::vector<double> begun_at_;  // and after it
  std::vector<double> squares_;   // [rows]: |x|^2
};

Fields describe(DualCoordinateDescentOptions& o) {
  return fields_of<DualCoordinateDescentOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"seed", &o.seed, "determines the order of the rows"},
      {"hand_over", &o.hand_over, "whether lbfgs goes on once the iterations have become slow"},
  });
}

DualCoordinateDescent::DualCoordinateDescent(std::vector<torch::Tensor> parameters,
                                             DualCoordinateDescentOptions options)
    : LinearSolver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter},
                   options.hand_over),
      options_(options) {}

void DualCoordinateDescent::check_problem(const LinearProblem& problem) const {
  if (problem.kind == LinearLoss::Kind::softmax) {
    throw ConfigError::conflict(
        "dual-coordinate-descent with a softmax loss",
        "it is for logistic losses (two classes, or multi_class = ovr) and the squared loss; use "
        "lbfgs, newton-cg or saga");
  }
  if (problem.l2 == 0.0) {
    throw ConfigError::conflict(
        "dual-coordinate-descent without an L2 penalty, which the dual problem needs",
        "set l2_strength above 0, or use lbfgs, newton-cg or coordinate-descent");
  }
}

/// Sets the dual variables to those that belong to the point; if that is 0, to small ones, from
/// which fewer steps are needed.
void DualCoordinateDescent::begin(LinearProblem& problem, const LinearProblem::Point& point) {
  multiplier_ = point.bias.clone();
  const bool is_logistic = problem.kind != LinearLoss::Kind::squared;
  constexpr double kSmall = -7.0;  // a thousandth of the bound
  dual_ = at::full({problem.rows(), problem.outputs}, is_logistic ? kSmall : 0.0, at::kDouble);
  if (point.weight.count_nonzero().item<int64_t>() == 0) return;
  const auto& rows = problem.by_row();
  const auto* targets = problem.targets.const_data_ptr<double>();
  auto* dual = dual_.mutable_data_ptr<double>();
  for (int64_t i = 0; i < problem.rows(); ++i) {
    for (int64_t k = 0; k < problem.outputs; ++k, ++dual) {
      const double* w = point.weight.const_data_ptr<double>() + k * problem.features;
      const double output = point.bias.const_data_ptr<double>()[k] +
                            sum_over(rows.at(i), [&](double x, int64_t j) { return x * w[j]; });
      const double factor = problem.weights.const_data_ptr<double>()[i] /
                            (problem.l2 * static_cast<double>(problem.outputs));
      *dual = is_logistic ? (problem.is_one(i, k) ? -output : output)
                          : factor * (targets[i * problem.outputs + k] - output);
    }
  }
}

bool DualCoordinateDescent::improve(LinearProblem& problem, LinearProblem::Point& point) {
  if (!dual_.defined() || dual_.size(0) != problem.rows()) begin(problem, point);
  if (!last_dual_.defined() || last_dual_.size(0) != problem.rows()) last_dual_ = dual_.clone();
  KeyedGenerator generator(static_cast<uint64_t>(options_.seed),
                           static_cast<uint64_t>(iterations()));
  Epoch epoch(*this, problem);
  const bool is_shared = problem.ranks() > 1;
  if (is_shared) {
    const auto count = static_cast<double>(accelerated_);
    epoch.extrapolate(count / (count + 3.0), last_dual_.mutable_data_ptr<double>());
  }
  if (sums_.empty() || accelerated_ > 0) {
    epoch.add_up();
  } else {
    epoch.begin_at(point, sums_);
  }
  epoch.run(generator);
  if (is_shared) epoch.compare();
  epoch.add_up();
  point = epoch.point();
  const bool is_raised = epoch.raise_multipliers();
  if (is_shared) accelerated_ = is_raised || epoch.leads_back() ? 0 : accelerated_ + 1;
  sums_ = epoch.sums();
  return true;
}

void DualCoordinateDescent::forget() {
  for (auto* each : {&dual_, &last_dual_}) each->reset();
  accelerated_ = 0;
  sums_.clear();
}

void DualCoordinateDescent::save(StateDict& state) const {
  LinearSolver::save(state);
  if (!dual_.defined()) return;
  state.values["seed"] = options_.seed;
  state.tensors["dual"] = dual_;
  state.tensors["multiplier"] = multiplier_;
  if (accelerated_ == 0) return;
  state.values["accelerated"] = accelerated_;
  state.tensors["last_dual"] = last_dual_;
}

void DualCoordinateDescent::load(const StateDict& state) {
  LinearSolver::load(state);
  sums_.clear();
  dual_.reset();
  last_dual_.reset();
  accelerated_ = 0;
  if (state.tensors.count("dual") == 0) return;
  options_.seed = state.values.at("seed").as_int();
  dual_ = state.tensor("dual").to(at::kCPU, at::kDouble).clone();
  multiplier_ = state.tensor("multiplier").to(at::kCPU, at::kDouble).clone();
  if (!state.values.contains("accelerated")) return;
  accelerated_ = state.values.at("accelerated").as_int();
  last_dual_ = state.tensor("last_dual").to(at::kCPU, at::kDouble).clone();
}

StateDict DualCoordinateDescent::own_state() const {
  StateDict state;
  if (dual_.defined()) state.tensors["dual"] = dual_;
  if (accelerated_ > 0) state.tensors["last_dual"] = last_dual_;
  return state;
}

void DualCoordinateDescent::load_own_state(const StateDict& state) {
  dual_.reset();
  last_dual_.reset();
  sums_.clear();
  if (state.tensors.count("dual") == 0) return;
  dual_ = state.tensor("dual").to(at::kCPU, at::kDouble).clone();
  if (state.tensors.count("last_dual") == 0) return;
  last_dual_ = state.tensor("last_dual").to(at::kCPU, at::kDouble).clone();
}

}  // namespace levin
