#include <levin/framework/solvers/automatic_solver.h>

namespace levin {

std::string automatic_solver(bool has_l1, int64_t parameters, int64_t features,
                             bool divides_features) {
  constexpr int64_t kFewParameters = 1000;
  constexpr int64_t kMostFeatures = 2000;  // for which objectives know how they are correlated
  if (has_l1) return "coordinate-descent-or-lbfgs";
  if (parameters <= kFewParameters && !divides_features) return "newton-cholesky";
  return features <= kMostFeatures ? "lbfgs" : "newton-cg";
}

}  // namespace levin
