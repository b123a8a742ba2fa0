#pragma once

#include <string>
#include <vector>

#include <levin/callbacks/lambda_callback.h>
#include <levin/framework/loggers/logger.h>

#include "callbacks/fixture.h"

namespace levin::test {

/// One weight, which each step makes larger by the learning rate: 1, 2, 3 ... with a rate of 1.
/// Validation logs it as val_weight.
class Counter : public OneWeight {
 public:
  torch::Tensor training_step(const Batch&, Step&) override { return -weight.sum(); }
  void validation_step(const Batch&, Step& step) override { step.log("val_weight", weight); }
  NamedTensors predict(const Batch& batch) override { return {{"double", 2.0 * batch.input()}}; }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 1.0}); }
};

/// Keeps what it gets: the values of steps by name, and the tags of histograms.
class Kept : public Logger {
 public:
  void start(Run&) override {}
  void log_metrics(const MetricMap& metrics, int64_t, int64_t) override {
    for (const auto& [name, value] : metrics) values[name].push_back(value);
  }
  void log_histogram(std::string_view tag, const torch::Tensor& tensor, int64_t step) override {
    histograms.push_back(std::to_string(step) + " " + std::string(tag));
    sizes.push_back(tensor.numel());
  }
  std::map<std::string, std::vector<double>> values;
  std::vector<std::string> histograms;
  std::vector<int64_t> sizes;
};

/// The options of a short fit in a folder.
inline TrainerOptions short_fit(const TemporaryFolder& folder, int64_t epochs) {
  TrainerOptions options;
  options.accelerator = "cpu";
  options.max_epochs = epochs;
  options.num_sanity_val_steps = 0;
  options.log_every_n_steps = 1;
  options.default_root_dir = folder.string();
  return options;
}

}  // namespace levin::test
