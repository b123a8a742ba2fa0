#include <levin/framework/solvers/column_descent.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/kinked_line.h>
#include <levin/framework/solvers/soft_threshold.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

constexpr size_t kSweepsToExtrapolate = 4;
/// A column whose curvature, with the best bias, is a smaller share of its own than this is the
/// same in all rows, but for rounding errors.
constexpr double kLeastShareBesideBias = 1e-11;
/// A direction whose curvature is a smaller share than this of what it would be without
/// correlations changes no output, but for rounding errors: the model doesn't tell how far to go.
constexpr double kLeastShareOfDirection = 1e-11;

}  // namespace

ColumnDescent::ColumnDescent(const EntryLists& columns, const double* curvature, double l1,
                             double l2)
    : columns_(columns),
      count_(columns.length()),
      l1_(l1),
      l2_(l2),
      memory_(empty_in_huge_pages({count_, 2}, at::kDouble)),
      rows_(reinterpret_cast<Row*>(memory_.mutable_data_ptr<double>())) {
  for (int64_t i = 0; i < count_; ++i) {
    rows_[i] = {.curvature = curvature[i], .change = 0.0};
    total_ += curvature[i];
  }
}

void ColumnDescent::add(int64_t column, double value, double slope) {
  places_.push_back(column);
  values_.push_back(value);
  slopes_.push_back(slope);
  second_.push_back(0.0);
  with_bias_.push_back(0.0);
}

void ColumnDescent::add_bias(double slope) {
  if (total_ > 0.0) bias_slope_ = slope;
}

/// What the changes of the outputs add to the derivative of the loss with respect to an entry. The
/// first sweep finds the second derivatives on the way.
template <bool kOnes>
double ColumnDescent::slope_of(size_t place, const Entries& x) {
  constexpr int64_t kWidth = 4;  // sums that don't wait for each other
  const int64_t whole = x.count - x.count % kWidth;
  double sums[kWidth] = {};
  const auto add_to = [&](double& sum, int64_t e) {
    const Row& row = rows_[x.indices[e]];
    const double product = row.curvature * row.change;
    sum += kOnes ? product : x.values[e] * product;
  };
  for (int64_t e = 0; e < whole; e += kWidth) {
    for (int64_t k = 0; k < kWidth; ++k) add_to(sums[k], e + k);
  }
  for (int64_t e = whole; e < x.count; ++e) add_to(sums[0], e);
  if (sweeps_ == 0) {
    double second = 0.0;
    double with_bias = 0.0;
    for (int64_t e = 0; e < x.count; ++e) {
      const double value = kOnes ? 1.0 : x.values[e];
      const double share = rows_[x.indices[e]].curvature * value;
      with_bias += share;
      second += share * value;
    }
    second_[place] = second;
    with_bias_[place] = with_bias;
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Minimises the model over one entry and the bias.
template <bool kOnes>
void ColumnDescent::visit(size_t place, Swept& swept) {
  const auto x = columns_.at(places_[place]);
  double& value = values_[place];
  const double before = value;
  const double changed = slope_of<kOnes>(place, x);  // which sets the two numbers below first
  const double with_bias = with_bias_[place];
  const double own = second_[place];
  const double slope = slopes_[place] + changed + offset_ * with_bias + 2.0 * l2_ * before;
  const double violation = std::abs(least_slope(slope, before, l1_));
  swept.worst = std::max(swept.worst, violation);
  if (violation == 0.0) return;
  double second = own - (bias_slope_ ? with_bias * with_bias / total_ : 0.0);
  const bool is_flat = !(second > kLeastShareBesideBias * own);
  second = (is_flat ? 0.0 : second) + 2.0 * l2_;
  if (second == 0.0 && l1_ == 0.0) return;
  value = second == 0.0 ? 0.0 : shrunk(second * before - slope, l1_) / second;
  const double step = value - before;
  if (step == 0.0) return;
  swept.decrease -=
      step * (slope + 0.5 * second * step) + l1_ * (std::abs(value) - std::abs(before));
  for (int64_t e = 0; e < x.count; ++e) {
    rows_[x.indices[e]].change += kOnes ? step : step * x.values[e];
  }
  if (!bias_slope_) return;
  bias_rest_ += step * with_bias;
  offset_ = -bias_rest_ / total_;
}

void ColumnDescent::set_bias(double change) {
  for (int64_t i = 0; i < count_; ++i) rows_[i].change += change;
  bias_change_ += change;
}

/// Minimises the model over the bias. Returns by how much the model became smaller.
double ColumnDescent::center() {
  if (!bias_slope_) return 0.0;
  double slope = *bias_slope_;
  for (int64_t i = 0; i < count_; ++i) {
    slope += rows_[i].curvature * rows_[i].change;
  }
  set_bias(-slope / total_);
  return 0.5 * slope * slope / total_;
}

ColumnDescent::Swept ColumnDescent::sweep() {
  Swept swept{.decrease = center()};
  bias_rest_ = offset_ = 0.0;
  const bool are_ones = columns_.are_ones();
  for (size_t place = 0; place < places_.size(); ++place) {
    are_ones ? visit<true>(place, swept) : visit<false>(place, swept);
  }
  if (bias_slope_) set_bias(offset_);
  ++sweeps_;
  decrease_ += swept.decrease;
  return swept;
}

void ColumnDescent::minimise(const Limits& limits) {
  recent_.clear();
  remember();
  for (int64_t done = 1;; ++done) {
    const auto swept = sweep();
    const bool is_there = swept.worst <= limits.tolerance ||
                          swept.decrease <= limits.share * decrease_ || decrease_ >= limits.enough;
    if (is_there || done >= limits.most_sweeps) break;
    remember();
    if (recent_.size() > kSweepsToExtrapolate) extrapolate();
  }
  recent_.clear();
}

void ColumnDescent::remember() {
  auto& point = recent_.emplace_back(Point{values_, {}, bias_change_});
  point.changes.resize(static_cast<size_t>(count_));
  for (int64_t i = 0; i < count_; ++i) point.changes[static_cast<size_t>(i)] = rows_[i].change;
}

/// The coefficients of the sum of the last points, of sum 1, whose steps would add up to the least:
/// step p leads from the point p to the next one. Empty if there were no steps.
std::vector<double> ColumnDescent::coefficients() const {
  const auto count = std::ssize(recent_) - 1;
  const auto products = at::zeros({count, count}, at::kDouble);
  double* product = products.mutable_data_ptr<double>();
  const auto step = [&](int64_t p, size_t j) {
    const auto from = static_cast<size_t>(p);
    return recent_[from + 1].values[j] - recent_[from].values[j];
  };
  const auto bias_step = [&](int64_t p) {
    const auto from = static_cast<size_t>(p);
    return recent_[from + 1].bias_change - recent_[from].bias_change;
  };
  for (int64_t p = 0; p < count; ++p) {
    for (int64_t q = 0; q <= p; ++q) {
      double sum = total_ * bias_step(p) * bias_step(q);
      for (size_t j = 0; j < values_.size(); ++j) {
        sum += (second_[j] + 2.0 * l2_) * step(p, j) * step(q, j);
      }
      product[p * count + q] = product[q * count + p] = sum;
    }
  }
  const double trace = products.trace().item<double>();
  if (!(trace > 0.0)) return {};
  constexpr double kLargest = 1e3;  // beyond it, rounding errors of the steps would grow too much
  torch::Tensor solution;
  for (double share = 1e-10; share < 1.0; share *= 10.0) {
    const auto sum = products + at::eye(count, at::kDouble) * (share * trace);
    solution = at::linalg_solve(sum, at::ones({count}, at::kDouble));
    solution = solution.div_(solution.sum()).contiguous();
    if (solution.abs().max().item<double>() < kLargest) break;
  }
  const double* numbers = solution.const_data_ptr<double>();
  return {numbers, numbers + count};
}

/// Goes from the newest point towards that combination of the last ones.
void ColumnDescent::extrapolate() {
  const auto shares = coefficients();
  if (!shares.empty()) {
    Direction direction{.values = std::vector<double>(values_.size()),
                        .outputs = std::vector<double>(static_cast<size_t>(count_))};
    for (size_t p = 0; p < shares.size(); ++p) {
      const auto& point = recent_[p + 1];
      const double share = shares[p] - (p + 1 == shares.size() ? 1.0 : 0.0);
      for (size_t j = 0; j < values_.size(); ++j) direction.values[j] += share * point.values[j];
      for (size_t i = 0; i < point.changes.size(); ++i) {
        direction.outputs[i] += share * point.changes[i];
      }
      direction.bias += share * point.bias_change;
      direction.shares += std::abs(share);
    }
    decrease_ += move_along(direction);
  }
  recent_.clear();
  remember();
}

/// Minimises the model along a direction. Returns by how much it became smaller.
double ColumnDescent::move_along(const Direction& direction) {
  const auto& d = direction.values;
  double slope = bias_slope_.value_or(0.0) * direction.bias;
  double second = 0.0;
  double weighted = 0.0;
  for (int64_t i = 0; i < count_; ++i) {
    const double output = direction.outputs[static_cast<size_t>(i)];
    const double product = rows_[i].curvature * output;
    slope += product * rows_[i].change;
    weighted += rows_[i].curvature * rows_[i].change * rows_[i].change;
    second += product * output;
  }
  double alone = total_ * direction.bias * direction.bias;  // the curvature without correlations
  double with_l1 = 0.0;
  std::vector<Kink> kinks;
  for (size_t j = 0; j < d.size(); ++j) {
    slope += (slopes_[j] + 2.0 * l2_ * values_[j]) * d[j];
    second += 2.0 * l2_ * d[j] * d[j];
    alone += (second_[j] + 2.0 * l2_) * d[j] * d[j];
    const double size = l1_ * std::abs(d[j]);
    const bool is_towards_zero = values_[j] * d[j] < 0.0;
    with_l1 += is_towards_zero ? -size : size;
    if (is_towards_zero && size > 0.0) kinks.push_back({-values_[j] / d[j], 2.0 * size});
  }
  // The outputs have rounding errors of all points that they come from, which mustn't decide.
  const double noise = 4.0 * std::numeric_limits<double>::epsilon() * direction.shares * weighted;
  if (!(second > kLeastShareOfDirection * alone) || -(slope + with_l1) <= noise) return 0.0;
  const double step = least_on_line(slope + with_l1, second, std::move(kinks));
  if (step == 0.0) return 0.0;
  double sizes = 0.0;
  for (size_t j = 0; j < d.size(); ++j) {
    const double before = values_[j];
    if (d[j] == 0.0) continue;
    const bool becomes_zero = l1_ > 0.0 && -before / d[j] == step;
    values_[j] = becomes_zero ? 0.0 : before + step * d[j];
    sizes += std::abs(values_[j]) - std::abs(before);
  }
  for (int64_t i = 0; i < count_; ++i) {
    rows_[i].change += step * direction.outputs[static_cast<size_t>(i)];
  }
  bias_change_ += step * direction.bias;
  return -(step * (slope + 0.5 * second * step) + l1_ * sizes);
}

}  // namespace levin
