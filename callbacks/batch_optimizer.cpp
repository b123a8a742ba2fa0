#include <levin/callbacks/batch_optimizer.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/run.h>
#include <levin/framework/solvers/online_learner.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

void require_batch_optimizer(const char* who, Run& run) {
  for (const auto& entry : run.optimizers().entries()) {
    const Optimizer* optimizer = entry.optimizer.get();
    if (dynamic_cast<const Solver*>(optimizer) == nullptr &&
        dynamic_cast<const OnlineLearner*>(optimizer) == nullptr) {
      continue;
    }
    throw ConfigError::conflict(
        fmt::format("{} with the optimizer {}, which doesn't step by gradients of batches", who,
                    optimizer->name()),
        "leave out the callback, or use an optimizer such as Adam or SGD");
  }
}

}  // namespace levin
