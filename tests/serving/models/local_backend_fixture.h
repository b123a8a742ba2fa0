#pragma once

#include <filesystem>
#include <future>
#include <string>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/models/linear_regression.h>
#include <levin/serving/models/local_backend.h>

#include "framework/support.h"

namespace levin::local_backend_test {

using test::same_bits;

inline WireTensor wire_of(const torch::Tensor& rows, WireType type = WireType::fp32) {
  const auto x = rows.contiguous();
  return {.name = "input",
          .type = type,
          .shape = x.sizes().vec(),
          .data = std::string(static_cast<const char*>(x.const_data_ptr()), x.nbytes())};
}

inline InferenceRequest request_for(const std::string& model, WireTensor input) {
  InferenceRequest request{.model = model};
  request.inputs.push_back(std::move(input));
  return request;
}

/// The tensor of an answer.
inline torch::Tensor tensor_of(const WireTensor& output) {
  const auto type = output.type == WireType::int64 ? torch::kLong : torch::kFloat;
  return torch::from_blob(const_cast<char*>(output.data.data()), output.shape, type).clone();
}

inline InferenceOutcome outcome_of(Backend& backend, InferenceRequest request) {
  std::promise<InferenceOutcome> promise;
  backend.infer(std::move(request),
                [&](InferenceOutcome outcome) { promise.set_value(std::move(outcome)); });
  return promise.get_future().get();
}

inline NamedTensors outputs_of(Backend& backend, InferenceRequest request) {
  const auto outcome = outcome_of(backend, std::move(request));
  NamedTensors outputs;
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    ADD_FAILURE() << refusal->what();
    return outputs;
  }
  for (const auto& output : std::get<InferenceResponse>(outcome).outputs) {
    outputs.emplace_back(output.name, tensor_of(output));
  }
  return outputs;
}

/// The status with which a request is refused, and the message; 0 if it is answered.
inline std::pair<int, std::string> refusal_of(Backend& backend, InferenceRequest request) {
  const auto outcome = outcome_of(backend, std::move(request));
  const auto* refusal = std::get_if<Refusal>(&outcome);
  if (refusal == nullptr) return {0, ""};
  return {refusal->status(), refusal->what()};
}

/// Trains models and serves them.
class LocalBackendTest : public testing::Test {
 protected:
  std::filesystem::path trained(Module& model, DataModule& data, const std::string& file) {
    Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .default_root_dir = folder_.string()});
    trainer.fit(model, data);
    trainer.save_checkpoint(folder_ / file);
    return folder_ / file;
  }
  static NamedTensors predicted(Module& model, DataModule& data) {
    return Trainer({.accelerator = "cpu"}).predict(model, data);
  }

  /// Whether the answers to `rows` are what Trainer::predict finds: to the bit one by one, and
  /// nearly so in batches.
  void expect_same_answers(Module& model, ArrayDataModuleOptions options, const torch::Tensor& y) {
    seed_everything(5);
    const auto rows = torch::randn({20, 4}) * torch::tensor({1.0F, 3.0F, 0.1F, 40.0F}) + 2.0F;
    options.val_split = options.test_split = 0.0;
    ArrayDataModule data(rows, y, options);
    const auto path = trained(model, data, "trained.ckpt");
    options.batch_size = 1;
    ArrayDataModule one_by_one(rows, y, options);
    const auto expected = predicted(model, one_by_one);
    ASSERT_FALSE(expected.empty());

    LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}}, {.max_batch = 7});
    for (int64_t row = 0; row < 20; ++row) {
      const auto found = outputs_of(backend, request_for("m", wire_of(rows.narrow(0, row, 1))));
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].first, expected[i].first);
        EXPECT_TRUE(same_bits(found[i].second, expected[i].second.narrow(0, row, 1)))
            << found[i].first << " of row " << row;
      }
    }
    for (const int64_t count : {6, 20}) {  // one batch, and a request in three parts
      const auto found = outputs_of(backend, request_for("m", wire_of(rows.narrow(0, 0, count))));
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_TRUE(torch::allclose(found[i].second.to(torch::kDouble),
                                    expected[i].second.narrow(0, 0, count).to(torch::kDouble), 1e-6,
                                    1e-6))
            << found[i].first;
      }
    }
  }

  /// Saves a linear regression of two features that predicts 3 `number` for the row (1, 1).
  void save_number(const std::filesystem::path& path, double number) {
    if (number_.tensors.empty()) {
      LinearRegression model({.in_features = 2});
      ArrayDataModule data(torch::ones({4, 2}), torch::ones({4}),
                           {.val_split = 0.0, .test_split = 0.0, .target_type = "value"});
      number_ = load_checkpoint(trained(model, data, "number"));
    }
    auto state = number_;
    for (auto& [name, tensor] : state.tensors) {
      if (name.starts_with("model.")) tensor = torch::full_like(tensor, number);
    }
    std::filesystem::create_directories(path.parent_path());
    save_checkpoint(path, state);
  }
  static InferenceRequest ones(const std::string& model, int64_t rows = 1) {
    return request_for(model, wire_of(torch::ones({rows, 2})));
  }
  /// The number of save_number that answers now.
  static double number_of(Backend& backend, const std::string& model,
                          const std::string& version = {}) {
    auto request = ones(model);
    request.version = version;
    const auto outputs = outputs_of(backend, std::move(request));
    return outputs.empty() ? -1.0 : outputs[0].second.item<float>() / 3.0;
  }

  test::TemporaryFolder folder_;
  StateDict number_;
};

}  // namespace levin::local_backend_test
