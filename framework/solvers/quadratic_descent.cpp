#include <levin/framework/solvers/quadratic_descent.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {
namespace {

class QuadraticDescent {
 public:
  QuadraticDescent(const torch::Tensor& matrix, const torch::Tensor& l1, torch::Tensor& w,
                   torch::Tensor& slope)
      : matrix_(matrix),
        size_(w.numel()),
        h_(matrix.const_data_ptr<double>()),
        l1_(l1.const_data_ptr<double>()),
        w_(w.mutable_data_ptr<double>()),
        slope_(slope.mutable_data_ptr<double>()) {}

  double sweep() {
    double worst = 0.0;
    for (int64_t j = 0; j < size_; ++j) worst = std::max(worst, update(j));
    return worst;
  }

  bool solve_active();

 private:
  double update(int64_t j) {
    const double before = w_[j];
    const double slope = slope_[j];
    const double l1 = l1_[j];
    const double least = before > 0.0   ? slope + l1
                         : before < 0.0 ? slope - l1
                                        : slope - std::clamp(slope, -l1, l1);
    if (least == 0.0) return 0.0;
    const double* row = h_ + j * size_;
    const double curvature = row[j];
    constexpr double kNone = 1e-300;  // the variable has no effect but its penalty
    if (curvature < kNone && l1 == 0.0) return 0.0;
    const double target = curvature * before - slope;
    const double shrunk = target > l1 ? target - l1 : target < -l1 ? target + l1 : 0.0;
    const double now = curvature < kNone ? 0.0 : shrunk / curvature;
    if (now == before) return std::abs(least);
    move(j, now);
    return std::abs(least);
  }

  void move(int64_t j, double now) {
    const double step = now - w_[j];
    const double* row = h_ + j * size_;
    for (int64_t i = 0; i < size_; ++i) slope_[i] += step * row[i];
    w_[j] = now;
  }

  torch::Tensor matrix_;
  int64_t size_;
  const double* h_;
  const double* l1_;
  double* w_;
  double* slope_;
};

/// Moves the variables that aren't 0, or have no penalty, to the minimum over them with these
/// signs, or as far as the signs last: true if that was short of it, so that another one is 0 now.
bool QuadraticDescent::solve_active() {
  std::vector<int64_t> active;
  std::vector<double> rest;
  for (int64_t j = 0; j < size_; ++j) {
    if (w_[j] == 0.0 && l1_[j] > 0.0) continue;
    active.push_back(j);
    rest.push_back(-slope_[j] - std::copysign(l1_[j], w_[j]));
  }
  if (active.empty()) return false;
  const auto places = at::tensor(active, at::kLong);
  const auto own = matrix_.index_select(0, places).index_select(1, places);
  const auto [factor, info] = at::linalg_cholesky_ex(own);
  if (info.item<int>() != 0) return false;
  const auto right = at::tensor(rest, at::kDouble).unsqueeze(1);
  const auto step = at::cholesky_solve(right, factor).squeeze(1).contiguous();
  const double* steps = step.const_data_ptr<double>();
  double share = 1.0;
  for (size_t i = 0; i < active.size(); ++i) {
    const double now = w_[active[i]];
    if (l1_[active[i]] == 0.0 || now * (now + steps[i]) > 0.0) continue;
    share = std::min(share, -now / steps[i]);
  }
  for (size_t i = 0; i < active.size(); ++i) {
    const double now = w_[active[i]];
    const bool becomes_zero = l1_[active[i]] > 0.0 && share < 1.0 && -now / steps[i] == share;
    move(active[i], becomes_zero ? 0.0 : now + share * steps[i]);
  }
  return share < 1.0;
}

}  // namespace

double minimise_quadratic(const torch::Tensor& matrix, const torch::Tensor& l1, torch::Tensor& w,
                          torch::Tensor& slope, double tolerance, int64_t most_sweeps) {
  constexpr int64_t kSweeps = 10;  // before the active variables are solved for at once
  constexpr int64_t kSolves = 20;  // the most in a row, each of which makes a variable 0
  QuadraticDescent descent(matrix, l1, w, slope);
  double worst = 0.0;
  for (int64_t sweep = 1; sweep <= most_sweeps; ++sweep) {
    worst = descent.sweep();
    if (worst <= tolerance) break;
    if (sweep % kSweeps != 0) continue;
    for (int64_t solves = 0; solves < kSolves && descent.solve_active();) ++solves;
  }
  return worst;
}

}  // namespace levin
