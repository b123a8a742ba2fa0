#include <levin/framework/optimizers/adamw.h>

namespace levin {
namespace {

AdamOptions as_adam(const AdamWOptions& o) {
  return {.learning_rate = o.learning_rate,
          .betas = o.betas,
          .eps = o.eps,
          .weight_decay = o.weight_decay,
          .amsgrad = o.amsgrad,
          .maximize = o.maximize};
}

}  // namespace

Fields describe(AdamWOptions& o) {
  return fields_of<AdamWOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"betas", &o.betas, "decay rates of the running means of the gradient and of its square"},
      {"eps", &o.eps, "added to the denominator"},
      {"weight_decay", &o.weight_decay, "parameters shrink by learning_rate * decay a step"},
      {"amsgrad", &o.amsgrad, "divide by the largest mean square so far"},
      {"maximize", &o.maximize, "go up the gradient instead of down"},
  });
}

void validate(const AdamWOptions& options) { validate(as_adam(options)); }

AdamW::AdamW(std::vector<torch::Tensor> parameters, AdamWOptions options)
    : AdamW(single_group(std::move(parameters)), std::move(options)) {}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamWOptions options)
    : Adam(std::move(groups), as_adam(options), /*decoupled_weight_decay=*/true) {}

}  // namespace levin
