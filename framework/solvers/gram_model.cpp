#include <levin/framework/solvers/gram_model.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <levin/framework/solvers/soft_threshold.h>

namespace levin {

GramModel::GramModel(std::vector<double> matrix, std::vector<Entry> entries)
    : matrix_(std::move(matrix)), entries_(std::move(entries)) {
  for (const auto& entry : entries_) {
    now_.push_back(entry.start);
    slopes_.push_back(entry.slope);
  }
}

void GramModel::move(size_t j, double to) {
  const double step = to - now_[j];
  const double* of_entry = row(j);
  for (size_t i = 0; i < slopes_.size(); ++i) slopes_[i] += step * of_entry[i];
  now_[j] = to;
}

/// Minimises over one entry. Returns the size of its subgradient before that.
double GramModel::update(size_t j) {
  const auto& [start, first, l1, l2] = entries_[j];
  const double before = now_[j];
  const double gradient = slope(j);
  const double violation = std::abs(least_slope(gradient, before, l1));
  if (violation == 0.0) return 0.0;
  const double second = row(j)[j] + 2.0 * l2;
  constexpr double kNoCurvature = 1e-300;  // the feature is the same in all rows
  if (second < kNoCurvature && l1 == 0.0) return 0.0;
  const double to = second < kNoCurvature ? 0.0 : shrunk(second * before - gradient, l1) / second;
  if (to == before) return violation;
  if (l1 > 0.0 && (to == 0.0 || before == 0.0 || (to > 0.0) != (before > 0.0))) ++sign_changes_;
  move(j, to);
  return violation;
}

double GramModel::sweep() {
  double worst = 0.0;
  sign_changes_ = 0;
  for (size_t j = 0; j < entries_.size(); ++j) worst = std::max(worst, update(j));
  return worst;
}

void GramModel::minimise(double tolerance, int64_t most_sweeps) {
  constexpr int64_t kSweepsAtOnce = 10;  // before the active entries are solved for at once
  for (int64_t sweeps = 0; sweeps < most_sweeps;) {
    const int64_t end = std::min(sweeps + kSweepsAtOnce, most_sweeps);
    for (; sweeps < end; ++sweeps) {
      if (sweep() <= tolerance) return;
    }
    if (sign_changes_ == 0) solve(0.3 * tolerance);
  }
}

/// Moves the entries that aren't 0, or have no L1 penalty, towards the minimum over them, where
/// their signs are as now, by conjugate gradients, preconditioned by the diagonal.
void GramModel::solve(double tolerance) {
  std::vector<size_t> free;
  for (size_t j = 0; j < entries_.size(); ++j) {
    if (now_[j] != 0.0 || entries_[j].l1 == 0.0) free.push_back(j);
  }
  const size_t count = free.size();
  std::vector<double> rest(count);  // the negative gradient
  std::vector<double> scale(count);
  std::vector<double> step(count);
  std::vector<double> direction(count);
  std::vector<double> product(count);
  for (size_t f = 0; f < count; ++f) {
    const size_t j = free[f];
    rest[f] = -slope(j) - std::copysign(entries_[j].l1, now_[j]);
    const double second = row(j)[j] + 2.0 * entries_[j].l2;
    scale[f] = second > 0.0 ? 1.0 / second : 0.0;
  }
  double last = 0.0;
  constexpr int kMostIterations = 200;
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    double now = 0.0;
    for (size_t f = 0; f < count; ++f) now += scale[f] * rest[f] * rest[f];
    for (size_t f = 0; f < count; ++f) {
      direction[f] = scale[f] * rest[f] + (iteration > 0 ? now / last * direction[f] : 0.0);
    }
    last = now;
    multiply(free, direction, product);
    double curvature = 0.0;
    for (size_t f = 0; f < count; ++f) curvature += direction[f] * product[f];
    if (!(curvature > 0.0)) break;
    const double length = now / curvature;
    double largest = 0.0;
    for (size_t f = 0; f < count; ++f) {
      step[f] += length * direction[f];
      rest[f] -= length * product[f];
      largest = std::max(largest, std::abs(rest[f]));
    }
    if (largest <= tolerance) break;
  }
  take(free, step);
}

/// The product of the second derivative over the entries `free` and `direction`.
void GramModel::multiply(const std::vector<size_t>& free, const std::vector<double>& direction,
                         std::vector<double>& product) const {
  for (size_t f = 0; f < free.size(); ++f) {
    const double* of_entry = row(free[f]);
    double sum = 2.0 * entries_[free[f]].l2 * direction[f];
    for (size_t g = 0; g < free.size(); ++g) sum += of_entry[free[g]] * direction[g];
    product[f] = sum;
  }
}

/// Takes the step or, if entries with an L1 penalty would change their sign, as much of it as makes
/// the first of them 0.
void GramModel::take(const std::vector<size_t>& free, const std::vector<double>& step) {
  double share = 1.0;
  size_t first = free.size();
  for (size_t f = 0; f < free.size(); ++f) {
    const double now = now_[free[f]];
    if (entries_[free[f]].l1 == 0.0 || now * (now + share * step[f]) >= 0.0) continue;
    share = -now / step[f];
    first = f;
  }
  for (size_t f = 0; f < free.size(); ++f) {
    move(free[f], f == first ? 0.0 : now_[free[f]] + share * step[f]);
  }
}

}  // namespace levin
