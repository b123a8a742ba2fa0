#pragma once

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/value.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run_control.h>

namespace levin::test {

/// What tests/baselines/<name>.py printed.
inline const Value& baseline(const std::string& name) {
  static std::map<std::string, Value> read;
  Value& value = read[name];
  if (value.is_null()) {
    std::ifstream file(std::string(LEVIN_SOURCE_DIR) + "/tests/baselines/" + name + ".json");
    std::stringstream text;
    text << file.rdbuf();
    value = Value::from_json(text.str());
  }
  return value;
}

/// Nested lists of numbers as a float64 tensor of the same shape.
inline torch::Tensor tensor_of(const Value& value) {
  if (!value.is_array()) return torch::tensor(value.as_double(), torch::kDouble);
  std::vector<torch::Tensor> items;
  for (const auto& item : value.as_array()) items.push_back(tensor_of(item));
  return torch::stack(items);
}

inline torch::Tensor labels_of(const Value& value) { return tensor_of(value).to(torch::kLong); }

inline void set(Module& module, const std::string& name, const torch::Tensor& value) {
  torch::NoGradGuard no_grad;
  auto parameter = module.named_parameters()[name];
  ASSERT_EQ(parameter.sizes(), value.sizes()) << name;
  parameter.copy_(value);
}

inline Batch batch_of(const torch::Tensor& x, const torch::Tensor& y) {
  return Batch({{"input", x}, {"target", y}});
}

#define EXPECT_TENSORS_NEAR(actual, expected, tolerance)                                      \
  do {                                                                                        \
    const torch::Tensor actual_ = (actual).detach().to(torch::kDouble);                       \
    const torch::Tensor expected_ = (expected).detach().to(torch::kDouble);                   \
    ASSERT_EQ(actual_.sizes(), expected_.sizes());                                            \
    EXPECT_LE((actual_ - expected_).abs().max().item<double>(), tolerance) << actual_ << "\n" \
                                                                           << expected_;      \
  } while (false)

/// Runs single steps of a module without a Trainer and keeps what they log.
class StepRunner {
 public:
  torch::Tensor train(Module& module, const Batch& batch) {
    StepControl step = begin(batch, true);
    return module.training_step(batch, step);
  }
  MetricMap validate(Module& module, const Batch& batch) {
    StepControl step = begin(batch, false);
    module.validation_step(batch, step);
    return metrics_.epoch_values(LoggedValues::For::callbacks);
  }
  MetricMap test(Module& module, const Batch& batch) {
    StepControl step = begin(batch, false);
    module.test_step(batch, step);
    return metrics_.epoch_values(LoggedValues::For::callbacks);
  }
  NamedTensors predict(Module& module, const Batch& batch) {
    StepControl step = begin(batch, false);
    step.set_forbidden(true);
    return module.predict_step(batch, step);
  }
  /// What the last training step logged.
  MetricMap step_values(LoggedValues::For whom = LoggedValues::For::callbacks) {
    return metrics_.step_values(whom);
  }

 private:
  StepControl begin(const Batch& batch, bool on_step) {
    metrics_ = LoggedValues();
    metrics_.begin_epoch();
    metrics_.begin_window();
    metrics_.begin_batch(batch.rows(), 0, 1);
    return StepControl(run_, metrics_, on_step);
  }

  RunControl run_;
  LoggedValues metrics_;
};

}  // namespace levin::test
