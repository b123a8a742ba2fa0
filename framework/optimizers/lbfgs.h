#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/adapter.h>

namespace levin {

struct LBFGSOptions {
  double learning_rate = 1.0;
  /// Iterations a step.
  int64_t max_iter = 20;
  /// Evaluations of the closure a step; nothing: max_iter * 5 / 4.
  std::optional<int64_t> max_eval{};
  /// A step ends where no gradient is larger than this.
  double tolerance_grad = 1e-7;
  /// A step ends where neither parameters nor loss change by more than this.
  double tolerance_change = 1e-9;
  /// Updates that are remembered.
  int64_t history_size = 100;
  /// "strong_wolfe"; nothing: every iteration goes `learning_rate` far.
  std::optional<std::string> line_search_fn{};
};

Fields describe(LBFGSOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const LBFGSOptions& options);

/// L-BFGS by torch::optim::LBFGS: a step evaluates its closure several times, each time on the same
/// data. All parameters form one group. PyTorch: torch.optim.LBFGS; doi:10.1007/BF01589116.
class LBFGS : public TorchAdapter {
 public:
  using Options = LBFGSOptions;
  explicit LBFGS(std::vector<torch::Tensor> parameters, LBFGSOptions options = {});
};

}  // namespace levin
