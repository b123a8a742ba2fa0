#include <levin/framework/solvers/whole_objective.h>

#include <utility>

#include <levin/framework/solvers/linear_objective.h>

namespace levin {

void WholeObjective::set_all_rows(LinearLoss loss) {
  all_rows_ = std::make_unique<LinearObjective>(rows_, std::move(loss), parameters_);
  all_rows_->raise_precision();
}

}  // namespace levin
