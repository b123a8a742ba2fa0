#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/adapter.h>

namespace levin {

struct LBFGSOptions {
  /// How far an iteration goes; with a line search, how far its search starts.
  double learning_rate = 1.0;
  /// The most iterations of one step.
  int64_t max_iter = 20;
  /// The most evaluations of the closure in one step; by default max_iter * 5 / 4.
  std::optional<int64_t> max_eval{};
  /// A step ends once no entry of the gradient is larger than this.
  double tolerance_grad = 1e-7;
  /// A step ends once neither the parameters nor the loss change by more than this.
  double tolerance_change = 1e-9;
  /// How many past updates the curvature is estimated from; each takes twice the parameters'
  /// memory.
  int64_t history_size = 100;
  /// "strong_wolfe", or nothing for no line search.
  std::optional<std::string> line_search_fn{};
};

Fields describe(LBFGSOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const LBFGSOptions& options);

/// L-BFGS, a quasi-Newton method, by torch::optim::LBFGS. One step makes several iterations and
/// evaluates its closure several times, each time on the same batch; that suits training on all
/// rows at once. All parameters form one group. PyTorch: torch.optim.LBFGS;
/// doi:10.1007/BF01589116.
class LBFGS : public TorchAdapter {
 public:
  using Options = LBFGSOptions;
  explicit LBFGS(std::vector<torch::Tensor> parameters, LBFGSOptions options = {});
};

}  // namespace levin
