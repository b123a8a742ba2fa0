#include <algorithm>
#include <cmath>

#include <levin/framework/solvers/coordinate_model.h>

namespace levin {
namespace {

double dot_product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum;
}

void add_multiple(std::vector<double>& to, double factor, const std::vector<double>& what) {
  for (size_t j = 0; j < to.size(); ++j) to[j] += factor * what[j];
}

}  // namespace

/// Moves the entries `free` towards the minimum of the model over them, where their signs are as
/// now: all of the way or, if entries would change their sign, until the first of them is 0. By
/// conjugate gradients, preconditioned by the diagonal, of which each iteration costs a sweep.
void CoordinateModel::solve(const std::vector<Coordinate>& free, double tolerance) {
  const size_t count = free.size();
  std::vector<double> rest(count);  // the negative gradient
  std::vector<double> scale(count);
  for (size_t j = 0; j < count; ++j) {
    const auto& at = free[j];
    const double now = now_[index(at)];
    const double l1 = l1_of(at);
    const double l2 = l2_of(at);
    rest[j] = -gradient(at) - std::copysign(l1, now);
    const double second = second_[index(at)] + 2.0 * l2;
    scale[j] = second > 0.0 ? 1.0 / second : 0.0;
  }
  std::vector<double> step(count);
  std::vector<double> scaled(count);
  std::vector<double> direction(count);
  std::vector<double> product(count);
  std::vector<double> direction_outputs(outputs_.size());
  std::vector<double> direction_mean(mean_change_.size());
  std::vector<double> step_outputs(outputs_.size());
  std::vector<double> step_mean(mean_change_.size());
  double last = 0.0;
  constexpr int kMost = 200;
  for (int iteration = 0; iteration < kMost; ++iteration) {
    for (size_t j = 0; j < count; ++j) scaled[j] = scale[j] * rest[j];
    const double now = dot_product(rest, scaled);
    for (size_t j = 0; j < count; ++j) {
      direction[j] = scaled[j] + (iteration > 0 ? now / last * direction[j] : 0.0);
    }
    last = now;
    multiply(free, direction, direction_outputs, direction_mean, product);
    const double curvature = dot_product(direction, product);
    if (!(curvature > 0.0)) break;
    const double length = now / curvature;
    add_multiple(step, length, direction);
    add_multiple(step_outputs, length, direction_outputs);
    add_multiple(step_mean, length, direction_mean);
    add_multiple(rest, -length, product);
    const auto largest = std::max_element(
        rest.begin(), rest.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    if (std::abs(*largest) <= tolerance) break;
  }
  take(free, step, step_outputs, step_mean);
}

/// Writes the product of the model's second derivative and `direction` to `product`, and what the
/// direction changes of the outputs, and of their mean, to `outputs` and `mean`.
void CoordinateModel::multiply(const std::vector<Coordinate>& free,
                               const std::vector<double>& direction, std::vector<double>& outputs,
                               std::vector<double>& mean, std::vector<double>& product) const {
  std::fill(outputs.begin(), outputs.end(), 0.0);
  std::fill(mean.begin(), mean.end(), 0.0);
  for (size_t j = 0; j < free.size(); ++j) {
    double* of_direction = of_output(outputs, free[j].output);
    const double entry = direction[j];
    for_each_entry(column(free[j].feature),
                   [=](double v, int64_t i) { of_direction[i] += entry * v; });
  }
  for (size_t i = 0; i < mean.size(); ++i) {
    for (size_t at = i; at < outputs.size(); at += mean.size()) mean[i] += share_[at] * outputs[at];
  }
  for (size_t j = 0; j < free.size(); ++j) {
    const auto& at = free[j];
    product[j] =
        slope(column(at.feature), at.output, outputs, mean) + 2.0 * l2_of(at) * direction[j];
  }
}

void CoordinateModel::take(const std::vector<Coordinate>& free, const std::vector<double>& step,
                           const std::vector<double>& outputs, const std::vector<double>& mean) {
  double share = 1.0;
  for (size_t j = 0; problem_.l1 > 0.0 && j < free.size(); ++j) {
    const double now = now_[index(free[j])];
    if (is_bias(free[j].feature) || now * (now + step[j]) >= 0.0) continue;
    share = std::min(share, -now / step[j]);
  }
  for (size_t j = 0; j < free.size(); ++j) {
    double& now = now_[index(free[j])];
    const bool becomes_zero =
        problem_.l1 > 0.0 && !is_bias(free[j].feature) && share < 1.0 && -now / step[j] == share;
    now = becomes_zero ? 0.0 : now + share * step[j];
  }
  add_multiple(change_, share, outputs);
  add_multiple(mean_change_, share, mean);
}

}  // namespace levin
