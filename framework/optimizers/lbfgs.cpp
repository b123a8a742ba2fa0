#include <levin/framework/optimizers/lbfgs.h>

#include <torch/optim/lbfgs.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

std::unique_ptr<torch::optim::Optimizer> make(std::vector<torch::Tensor> parameters,
                                              const LBFGSOptions& o) {
  validate(o);
  auto options = torch::optim::LBFGSOptions(o.learning_rate)
                     .max_iter(o.max_iter)
                     .max_eval(o.max_eval)
                     .tolerance_grad(o.tolerance_grad)
                     .tolerance_change(o.tolerance_change)
                     .history_size(o.history_size)
                     .line_search_fn(o.line_search_fn);
  return std::make_unique<torch::optim::LBFGS>(std::move(parameters), std::move(options));
}

}  // namespace

Fields describe(LBFGSOptions& o) {
  return fields_of<LBFGSOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"max_iter", &o.max_iter, "iterations a step"},
      {"max_eval", &o.max_eval, "evaluations of the loss a step; null: max_iter * 5 / 4"},
      {"tolerance_grad", &o.tolerance_grad, "a step ends if no gradient is larger"},
      {"tolerance_change", &o.tolerance_change, "a step ends if nothing changes by more"},
      {"history_size", &o.history_size, "updates that are remembered"},
      {"line_search_fn", &o.line_search_fn, "\"strong_wolfe\"; null: fixed steps"},
  });
}

void validate(const LBFGSOptions& o) {
  check_at_least_zero("learning_rate", o.learning_rate);
  check_option(o.max_iter >= 1, "max_iter", o.max_iter, "must be at least 1");
  if (o.max_eval) check_option(*o.max_eval >= 1, "max_eval", *o.max_eval, "must be at least 1");
  check_at_least_zero("tolerance_grad", o.tolerance_grad);
  check_at_least_zero("tolerance_change", o.tolerance_change);
  check_option(o.history_size >= 1, "history_size", o.history_size, "must be at least 1");
  if (o.line_search_fn && *o.line_search_fn != "strong_wolfe") {
    throw ConfigError::invalid_value("line_search_fn", *o.line_search_fn,
                                     "must be strong_wolfe or null");
  }
}

LBFGS::LBFGS(std::vector<torch::Tensor> parameters, LBFGSOptions options)
    : TorchAdapter(make(std::move(parameters), options)) {}

}  // namespace levin
