#pragma once

#include <cstdint>
#include <string>

namespace levin {

/// The name of the solver that `auto` stands for, for a linear classifier of so many parameters:
/// coordinate-descent-or-lbfgs for an L1 penalty, newton-cholesky for up to 1,000 parameters, else
/// lbfgs for up to 2,000 features, of which it learns how they are correlated, and else newton-cg.
/// newton-cholesky needs all features of a row, which a rank lacks if the features are divided.
std::string automatic_solver(bool has_l1, int64_t parameters, int64_t features,
                             bool divides_features = false);

}  // namespace levin
