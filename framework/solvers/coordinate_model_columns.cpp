// How a CoordinateModel is minimised if the features are sparse and no output depends on another.
#include <limits>

#include <levin/framework/solvers/column_descent.h>
#include <levin/framework/solvers/coordinate_model.h>

namespace levin {

void CoordinateModel::minimise_by_columns(double tol, int64_t most_sweeps) {
  for (int64_t k = 0; k < problem_.outputs; ++k) minimise_by_columns_of(k, tol, most_sweeps);
}

void CoordinateModel::minimise_by_columns_of(int64_t output, double tol, int64_t most_sweeps) {
  ColumnDescent descent(features_, of_output(curvature_, output), problem_.l1, problem_.l2);
  const Coordinate bias{.feature = problem_.features, .output = output};
  if (problem_.has_bias()) descent.add_bias(first_[index(bias)]);
  std::vector<Coordinate> entries;
  for (const auto& at : working_) {
    if (at.output != output || is_bias(at.feature)) continue;
    entries.push_back(at);
    descent.add(at.feature, start_[index(at)], first_[index(at)]);
  }
  // A model that has become so much smaller is no longer a good one of the loss, unless the loss is
  // quadratic itself; what further sweeps would gain isn't worth a pass over the rows. Near the
  // minimum, where models are good, sweeps go on for longer.
  constexpr double kFar = 0.002;
  constexpr double kShare = 0.01;
  constexpr double kShareOfSquared = 1e-9;
  const double enough = kFar * std::abs(objective_) / static_cast<double>(problem_.outputs);
  descent.minimise({.tolerance = 0.3 * tol,
                    .share = is_exact() ? kShareOfSquared : kShare,
                    .enough = is_exact() ? std::numeric_limits<double>::infinity() : enough,
                    .most_sweeps = most_sweeps});
  for (size_t place = 0; place < entries.size(); ++place) {
    now_[index(entries[place])] = descent.value(place);
  }
  if (problem_.has_bias()) now_[index(bias)] = start_[index(bias)] + descent.bias_change();
  double* change = of_output(change_, output);
  for (int64_t i = 0; i < rows_; ++i) change[i] = descent.change(i);
}

}  // namespace levin
