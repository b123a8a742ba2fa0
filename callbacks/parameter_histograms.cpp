#include <levin/callbacks/parameter_histograms.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/run/module.h>

namespace levin {

Fields describe(ParameterHistogramsOptions& o) {
  return fields_of<ParameterHistogramsOptions>({
      {"every_n_steps", &o.every_n_steps, "log after so many optimizer steps"},
      {"weights", &o.weights, "log the weights"},
      {"gradients", &o.gradients, "log the gradients"},
  });
}

ParameterHistograms::ParameterHistograms(ParameterHistogramsOptions options) : options_(options) {
  if (options_.every_n_steps < 1) {
    throw ConfigError::invalid_value("ParameterHistograms.every_n_steps",
                                     fmt::to_string(options_.every_n_steps), "must be at least 1");
  }
}

void ParameterHistograms::on_before_optimizer_step(Optimizer& optimizer, Step& step) {
  Run& run = step.run();
  const int64_t number = run.global_step();
  if (number % options_.every_n_steps != 0 || run.loggers().empty()) return;
  for (const auto& group : optimizer.groups()) {
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const auto& parameter = group.parameters[i];
      const auto& gradient = parameter.grad();
      for (Logger* logger : run.loggers()) {
        if (options_.weights) {
          logger->log_histogram("weights/" + group.names[i], parameter.detach(), number);
        }
        if (!options_.gradients || !gradient.defined()) continue;
        logger->log_histogram("gradients/" + group.names[i],
                              gradient.is_sparse() ? gradient._values() : gradient.detach(),
                              number);
      }
    }
  }
}

}  // namespace levin
