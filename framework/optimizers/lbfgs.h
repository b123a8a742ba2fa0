#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/adapter.h>

namespace levin {

/// Options of LBFGS; PyTorch has the same names, except `lr` for `learning_rate`.
struct LBFGSOptions {
  /// What an iteration multiplies its quasi-Newton step by, at least 0; with a line search, the
  /// multiple that the search starts with.
  double learning_rate = 1.0;
  /// The most iterations of one step, at least 1.
  int64_t max_iter = 20;
  /// The most evaluations of the closure in one step, at least 1; by default max_iter * 5 / 4.
  std::optional<int64_t> max_eval{};
  /// A step ends once no entry of the gradient is larger than this.
  double tolerance_grad = 1e-7;
  /// A step ends once neither the parameters nor the loss change by more than this.
  double tolerance_change = 1e-9;
  /// How many past updates the curvature is estimated from, at least 1. Each takes twice the
  /// parameters' memory.
  int64_t history_size = 100;
  /// "strong_wolfe", or nothing for no line search.
  std::optional<std::string> line_search_fn{};
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(LBFGSOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructor calls it.
void validate(const LBFGSOptions& options);

/// L-BFGS, a quasi-Newton method, by torch::optim::LBFGS. One step makes several iterations and
/// evaluates its closure several times, each time on the same batch. It suits small, smooth
/// problems trained on all rows at once:
///
///     levin::LBFGS optimizer(model.parameters(), {.line_search_fn = "strong_wolfe"});
///     const auto loss = optimizer.step(closure);
///
/// `step` needs a closure and throws ModuleError without one. All parameters form one group, and
/// ranks can't share the state (`shard` throws ConfigError). PyTorch: torch.optim.LBFGS;
/// doi:10.1007/BF01589116.
class LBFGS : public TorchAdapter {
 public:
  using Options = LBFGSOptions;
  /// Optimizes `parameters`. Throws ConfigError as the other optimizers do.
  explicit LBFGS(std::vector<torch::Tensor> parameters, LBFGSOptions options = {});
};

}  // namespace levin
