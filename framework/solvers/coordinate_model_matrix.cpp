// How a CoordinateModel is minimised if ranks share the rows.
#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/coordinate_model.h>
#include <levin/framework/solvers/quadratic_descent.h>

namespace levin {

void CoordinateModel::minimise_by_matrix(double tolerance, int64_t most_sweeps) {
  if (working_.empty()) return;
  limit_working();
  const auto count = std::ssize(working_);
  const auto second = matrix();
  const auto l1 = at::empty({count}, at::kDouble);
  auto point = at::empty({count}, at::kDouble);
  auto slope = at::empty({count}, at::kDouble);
  for (int64_t j = 0; j < count; ++j) {
    const auto& at = working_[static_cast<size_t>(j)];
    const double entry = start_[index(at)];
    second.mutable_data_ptr<double>()[j * (count + 1)] += 2.0 * l2_of(at);
    l1.mutable_data_ptr<double>()[j] = l1_of(at);
    point.mutable_data_ptr<double>()[j] = entry;
    slope.mutable_data_ptr<double>()[j] = first_[index(at)] + 2.0 * l2_of(at) * entry;
  }
  minimise_quadratic(second, l1, point, slope, tolerance, most_sweeps);
  for (int64_t j = 0; j < count; ++j) {
    const auto& at = working_[static_cast<size_t>(j)];
    now_[index(at)] = point.const_data_ptr<double>()[j];
    const double step = now_[index(at)] - start_[index(at)];
    if (step == 0.0) continue;
    double* change = of_output(change_, at.output);
    for_each_entry(column(at.feature), [&](double v, int64_t i) { change[i] += step * v; });
  }
}

/// Leaves only as many entries as the matrix may have, those with the largest subgradients, and
/// sorts them by their outputs.
void CoordinateModel::limit_working() {
  const auto most = static_cast<size_t>(problem_.most_shared);
  if (working_.size() > most) {
    std::stable_sort(working_.begin(), working_.end(),
                     [&](const Coordinate& a, const Coordinate& b) {
                       return violation_at_start(a) > violation_at_start(b);
                     });
    working_.resize(most);
  }
  std::sort(working_.begin(), working_.end(), [](const Coordinate& a, const Coordinate& b) {
    return std::pair(a.output, a.feature) < std::pair(b.output, b.feature);
  });
}

/// The second derivatives with respect to the working entries, of the rows of all ranks: [p, p].
torch::Tensor CoordinateModel::matrix() const {
  const auto own = features_.is_sparse() ? sparse_matrix() : dense_matrix();
  const auto count = working_.size();
  const auto* numbers = own.const_data_ptr<double>();
  std::vector<double> lower;
  lower.reserve(count * (count + 1) / 2);
  for (size_t j = 0; j < count; ++j) {
    lower.insert(lower.end(), numbers + j * count, numbers + j * count + j + 1);
  }
  problem_.sum(lower);
  double* all = own.mutable_data_ptr<double>();
  const double* next = lower.data();
  for (size_t j = 0; j < count; ++j) {
    for (size_t i = 0; i <= j; ++i) all[j * count + i] = all[i * count + j] = *next++;
  }
  return own;
}

/// The second derivative of a row's loss with respect to two of its outputs.
double CoordinateModel::second_factor(int64_t row, int64_t output, int64_t other) const {
  const double curvature = of_output(curvature_, output)[row];
  if (!is_coupled()) return output == other ? curvature : 0.0;
  return curvature * ((output == other ? 1.0 : 0.0) - of_output(share_, other)[row]);
}

/// The lower triangle of this rank's part, by products of blocks of rows.
torch::Tensor CoordinateModel::dense_matrix() const {
  const auto count = std::ssize(working_);
  auto result = at::zeros({count, count}, at::kDouble);
  constexpr int64_t kBlockRows = 512;
  auto x = at::empty({count, std::min(rows_, kBlockRows)}, at::kDouble);
  auto factors = at::empty({x.size(1)}, at::kDouble);
  const auto first_of = [&](int64_t output) {
    return std::lower_bound(working_.begin(), working_.end(), output,
                            [](const Coordinate& at, int64_t k) { return at.output < k; }) -
           working_.begin();
  };
  for (int64_t begin = 0; begin < rows_; begin += kBlockRows) {
    const int64_t size = std::min(kBlockRows, rows_ - begin);
    auto* to = x.mutable_data_ptr<double>();
    for (int64_t j = 0; j < count; ++j, to += x.size(1)) {
      std::copy_n(column(working_[static_cast<size_t>(j)].feature).values + begin, size, to);
    }
    const auto block = x.narrow(1, 0, size);
    for (int64_t k = 0; k < problem_.outputs; ++k) {
      const auto of_k = block.slice(0, first_of(k), first_of(k + 1));
      for (int64_t l = is_coupled() ? 0 : k; l <= k; ++l) {
        auto* factor = factors.mutable_data_ptr<double>();
        for (int64_t i = 0; i < size; ++i) factor[i] = second_factor(begin + i, k, l);
        const auto of_l = block.slice(0, first_of(l), first_of(l + 1));
        result.slice(0, first_of(k), first_of(k + 1))
            .slice(1, first_of(l), first_of(l + 1))
            .addmm_(of_k * factors.narrow(0, 0, size), of_l.t());
      }
    }
  }
  return result;
}

/// The same of sparse rows: by the products of each row's entries.
torch::Tensor CoordinateModel::sparse_matrix() const {
  struct Entry {
    int64_t number;  // in `working_`
    double value;
  };
  const auto count = std::ssize(working_);
  auto result = at::zeros({count, count}, at::kDouble);
  std::vector<size_t> ends(static_cast<size_t>(rows_) + 1);
  for (const auto& at : working_) {
    for_each_entry(column(at.feature),
                   [&](double, int64_t i) { ++ends[static_cast<size_t>(i) + 1]; });
  }
  for (size_t i = 1; i < ends.size(); ++i) ends[i] += ends[i - 1];
  std::vector<Entry> entries(ends.back());
  auto next = ends;
  for (int64_t j = 0; j < count; ++j) {
    for_each_entry(column(working_[static_cast<size_t>(j)].feature), [&](double v, int64_t i) {
      entries[next[static_cast<size_t>(i)]++] = {.number = j, .value = v};
    });
  }
  auto* numbers = result.mutable_data_ptr<double>();
  for (int64_t i = 0; i < rows_; ++i) {
    const size_t end = ends[static_cast<size_t>(i) + 1];
    for (size_t a = ends[static_cast<size_t>(i)]; a < end; ++a) {
      const auto output = working_[static_cast<size_t>(entries[a].number)].output;
      double* row = numbers + entries[a].number * count;
      for (size_t b = ends[static_cast<size_t>(i)]; b <= a; ++b) {
        const auto other = working_[static_cast<size_t>(entries[b].number)].output;
        row[entries[b].number] +=
            second_factor(i, output, other) * entries[a].value * entries[b].value;
      }
    }
  }
  return result;
}

}  // namespace levin
