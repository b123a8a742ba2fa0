#pragma once

#include <memory>
#include <vector>

#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// What a Module derives from, too, if it makes the objective of its solver itself, instead of
/// declaring a LinearLoss or leaving it to autograd: ManyRegressions does.
class ObjectiveSource {
 public:
  virtual ~ObjectiveSource() = default;

  /// Makes the objective over `rows`, to which it may keep a reference. `parameters` are those that
  /// the flattened point is made of, in that order. Asked once, before the first iteration.
  virtual std::unique_ptr<Objective> make_objective(
      RowSource& rows, const std::vector<torch::Tensor>& parameters) const = 0;
};

}  // namespace levin
