#include <levin/serving/models/local_backend.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/table.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/serving/http/http_server.h>
#include <levin/serving/models/served_source.h>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "framework/support.h"
#include "framework/without_root.h"
#include "serving/http/raw_client.h"

namespace levin::local_backend_test {

using test::eventually;
using test::message_of;
using test::same_bits;
using test::says;

WireTensor wire_of(const torch::Tensor& rows, WireType type = WireType::fp32) {
  const auto x = rows.contiguous();
  return {.name = "input",
          .type = type,
          .shape = x.sizes().vec(),
          .data = std::string(static_cast<const char*>(x.const_data_ptr()), x.nbytes())};
}

InferenceRequest request_for(const std::string& model, WireTensor input) {
  InferenceRequest request{.model = model};
  request.inputs.push_back(std::move(input));
  return request;
}

/// The tensor of an answer.
torch::Tensor tensor_of(const WireTensor& output) {
  const auto type = output.type == WireType::int64 ? torch::kLong : torch::kFloat;
  return torch::from_blob(const_cast<char*>(output.data.data()), output.shape, type).clone();
}

InferenceOutcome outcome_of(Backend& backend, InferenceRequest request) {
  std::promise<InferenceOutcome> promise;
  backend.infer(std::move(request),
                [&](InferenceOutcome outcome) { promise.set_value(std::move(outcome)); });
  return promise.get_future().get();
}

NamedTensors outputs_of(Backend& backend, InferenceRequest request) {
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
std::pair<int, std::string> refusal_of(Backend& backend, InferenceRequest request) {
  const auto outcome = outcome_of(backend, std::move(request));
  const auto* refusal = std::get_if<Refusal>(&outcome);
  if (refusal == nullptr) return {0, ""};
  return {refusal->status(), refusal->what()};
}

/// A model of a user's own, which fails on negative numbers.
struct FussyOptions {
  double bias = 0.0;
};
Fields describe(FussyOptions& o) {
  return fields_of<FussyOptions>({{"bias", &o.bias, "is added"}});
}
class Fussy : public Module {
 public:
  using Options = FussyOptions;
  explicit Fussy(FussyOptions options)
      : options_(options), linear_(register_module("linear", torch::nn::Linear(2, 1))) {}
  torch::Tensor training_step(const Batch& batch, Step&) override {
    return linear_(batch.input()).square().mean();
  }
  NamedTensors predict(const Batch& batch) override {
    if (batch.input().lt(0).any().item<bool>()) throw std::runtime_error("secret place");
    return {{"sum", batch.input().sum(1) + options_.bias}};
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }

 private:
  FussyOptions options_;
  torch::nn::Linear linear_;
};

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

TEST_F(LocalBackendTest, answers_are_those_of_the_trainer) {
  const auto classes = torch::arange(20).remainder(3);
  seed_everything(1);
  LogisticRegression logistic({.in_features = 4, .num_classes = 3});
  expect_same_answers(logistic, {}, classes);
  LogisticRegression standardized({.in_features = 4, .num_classes = 3});
  expect_same_answers(standardized, {.standardize = true}, classes);
  MLP mlp({.in_features = 4, .num_classes = 3, .hidden_sizes = {8}});
  expect_same_answers(mlp, {.standardize = true}, classes);
  LinearRegression linear({.in_features = 4, .learning_rate = 1e-4});
  expect_same_answers(linear, {.target_type = "value"}, torch::randn({20}));
}

TEST_F(LocalBackendTest, cells_of_a_table_are_read_as_in_training) {
  {
    std::ofstream file(folder_ / "t.csv");
    file << "plan,age,churn\n";
    for (int i = 0; i < 12; ++i) {
      file << (i % 3 == 0 ? "\"pro, max\"" : "basic") << ","
           << (i == 5 ? "" : std::to_string(20 + i)) << "," << (i % 2 == 0 ? "yes" : "no") << "\n";
    }
  }
  TableDataModuleOptions options{.x = (folder_ / "t.csv").string(),
                                 .target = "churn",
                                 .missing = "mean",
                                 .standardize = true,
                                 .batch_size = 1,
                                 .val_split = 0.0,
                                 .test_split = 0.0};
  TableDataModule data(options);
  LogisticRegression model({.num_classes = 2});
  const auto path = trained(model, data, "table.ckpt");
  TableDataModule again(options);
  const auto expected = predicted(model, again);

  LocalBackend backend(shipped_classes(), {{.path = path}}, {});
  const auto metadata = backend.models().at(0);
  EXPECT_EQ(metadata.name, "LogisticRegression");
  EXPECT_EQ(metadata.kind, InputKind::table);
  EXPECT_EQ(metadata.columns, (std::vector<std::string>{"plan", "age"}));
  EXPECT_EQ(metadata.class_names, (std::vector<std::string>{"no", "yes"}));
  EXPECT_EQ(metadata.inputs.at(0).type, WireType::bytes);
  EXPECT_EQ(metadata.inputs.at(0).shape, (std::vector<int64_t>{-1, 2}));

  const auto row_of = [](std::string_view plan, std::string_view age) {
    WireTensor cells{.name = "input", .type = WireType::bytes, .shape = {1, 2}};
    append_bytes_element(cells.data, plan);
    append_bytes_element(cells.data, age);
    return request_for("LogisticRegression", cells);
  };
  for (const auto& [row, plan, age] : std::vector<std::tuple<int64_t, std::string, std::string>>{
           {0, "pro, max", "20"}, {4, " basic ", "24.0"}, {5, "basic", ""}}) {
    const auto found = outputs_of(backend, row_of(plan, age));
    ASSERT_EQ(found.size(), 2U);
    EXPECT_TRUE(same_bits(found[1].second, expected[1].second.narrow(0, row, 1))) << row;
  }
  const auto [status, message] = refusal_of(backend, row_of("gold", "30"));
  EXPECT_EQ(status, 400);
  EXPECT_TRUE(says(message, {"row 1 of the request, column 1 (plan)", "gold"})) << message;

  // The row of the request, also where parts of it are predicted one after the other, and where
  // cells have several lines.
  WireTensor many{.name = "input", .type = WireType::bytes, .shape = {100, 2}};
  for (int i = 0; i < 100; ++i) {
    append_bytes_element(many.data, i == 90 ? "gold\n\"x\", y" : "basic");
    append_bytes_element(many.data, i == 80 || i == 95 ? "x" : "30");
  }
  EXPECT_TRUE(says(refusal_of(backend, request_for("LogisticRegression", many)).second,
                   {"row 81 of the request, column 2 (age)"}));
  options.unknown = "ignore";
  TableDataModule lenient(options);
  LogisticRegression other({.num_classes = 2});
  const auto lenient_path = trained(other, lenient, "lenient.ckpt");
  LocalBackend lenient_backend(shipped_classes(), {{.name = "m", .path = lenient_path}}, {});
  WireTensor lines{.name = "input", .type = WireType::bytes, .shape = {2, 2}};
  for (const char* cell : {"go,\n\"l\"\nd", "30", "basic", "x, \"y\""}) {
    append_bytes_element(lines.data, cell);
  }
  EXPECT_TRUE(says(refusal_of(lenient_backend, request_for("m", lines)).second,
                   {"row 2 of the request, column 2 (age)"}));
}

TEST_F(LocalBackendTest, what_does_not_fit_is_refused_and_says_what_the_model_takes) {
  save_number(folder_ / "a.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}}, {});
  const auto refused = [&](const InferenceRequest& request, const std::string& part) {
    const auto [status, message] = refusal_of(backend, request);
    EXPECT_EQ(status, 400) << message;
    EXPECT_TRUE(says(message, {part})) << message;
  };
  refused(request_for("m", wire_of(torch::ones({1, 3}))), "[rows, 2]");
  refused(request_for("m", wire_of(torch::ones({2}))), "[rows, 2]");
  refused(request_for("m", wire_of(torch::ones({0, 2}))), "at least one row");
  refused(request_for("m", wire_of(torch::ones({1, 1}), WireType::bytes)), "[rows, 2]");
  WireTensor texts{.name = "input", .type = WireType::bytes, .shape = {1, 2}};
  append_bytes_element(texts.data, "1");
  append_bytes_element(texts.data, "2");
  refused(request_for("m", texts), "FP32");
  auto other_name = ones("m");
  other_name.inputs[0].name = "x";
  refused(other_name, "'input'");
  auto short_data = ones("m");
  short_data.inputs[0].data.pop_back();
  refused(short_data, "length");
  auto other_output = ones("m");
  other_output.outputs.push_back({.name = "logits"});
  refused(other_output, "'value'");
  EXPECT_EQ(refusal_of(backend, ones("other")).first, 404);
  auto other_version = ones("m");
  other_version.version = "2";
  EXPECT_EQ(refusal_of(backend, other_version).first, 404);
  EXPECT_EQ(backend.statistics().at(0).failure[ModelStatistics::other], 8U);
  EXPECT_EQ(backend.statistics().at(0).success, 0U);
}

TEST_F(LocalBackendTest, numbers_of_other_types_are_converted) {
  save_number(folder_ / "a.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}}, {});
  for (const auto& [type, wire] :
       std::vector<std::pair<torch::ScalarType, WireType>>{{torch::kDouble, WireType::fp64},
                                                           {torch::kHalf, WireType::fp16},
                                                           {torch::kLong, WireType::int64},
                                                           {torch::kByte, WireType::uint8}}) {
    const auto found =
        outputs_of(backend, request_for("m", wire_of(torch::full({1, 2}, 5, type), wire)));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].second.item<float>(), 11.0F) << name_of(wire);
  }
}

TEST_F(LocalBackendTest, pixels_are_scaled_as_in_training) {
  save_number(folder_ / "a.ckpt", 1.0);
  auto state = number_;
  for (auto& [name, tensor] : state.tensors) {
    if (name.starts_with("model.")) tensor = torch::ones_like(tensor);
  }
  state.values["fitted"]["mnist"] = Value::Object{{"mean", 0.5}, {"std", 0.25}};
  save_checkpoint(folder_ / "pixels.ckpt", state);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "pixels.ckpt"}}, {});
  const auto bytes = torch::tensor({{255, 0}}, torch::kByte);
  for (const auto& input :
       {wire_of(bytes, WireType::uint8), wire_of(bytes.to(torch::kFloat) / 255)}) {
    const auto found = outputs_of(backend, request_for("m", input));
    ASSERT_EQ(found.size(), 1U);  // (1 - 0.5) / 0.25 + (0 - 0.5) / 0.25 + 1
    EXPECT_NEAR(found[0].second.item<float>(), 1.0F, 1e-5F);
  }
  const auto white =
      request_for("m", wire_of(torch::full({1, 2}, 255, torch::kByte), WireType::uint8));
  EXPECT_NEAR(outputs_of(backend, white).at(0).second.item<float>(), 5.0F, 1e-5F);

  // The statistics of standardisation are those of pixels from 0 to 1.
  state.values["fitted"]["mnist"] = Value::Object{{"mean", 0.0}, {"std", 1.0}};
  state.tensors["fitted.standardize.mean"] = torch::full({2}, 0.5, torch::kDouble);
  state.tensors["fitted.standardize.deviation"] = torch::full({2}, 0.25, torch::kDouble);
  save_checkpoint(folder_ / "standardized.ckpt", state);
  LocalBackend standardized(shipped_classes(),
                            {{.name = "m", .path = folder_ / "standardized.ckpt"}}, {});
  EXPECT_NEAR(outputs_of(standardized, white).at(0).second.item<float>(), 5.0F, 1e-5F);
  const auto grey = request_for("m", wire_of(torch::tensor({{1.0F, 0.0F}})));
  EXPECT_NEAR(outputs_of(standardized, grey).at(0).second.item<float>(), 1.0F, 1e-5F);
}

TEST_F(LocalBackendTest, requests_share_batches_and_are_counted) {
  save_number(folder_ / "a.ckpt", 2.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}},
                       {.max_batch = 4, .delay_ms = 3600e3, .timeout = 7200.0});
  std::vector<std::promise<InferenceOutcome>> promises(4);
  for (auto& promise : promises) {  // only together they fill a batch
    backend.infer(ones("m"),
                  [&](InferenceOutcome outcome) { promise.set_value(std::move(outcome)); });
  }
  for (auto& promise : promises) {
    const auto outcome = promise.get_future().get();
    ASSERT_TRUE(std::holds_alternative<InferenceResponse>(outcome));
    const auto& response = std::get<InferenceResponse>(outcome);
    EXPECT_EQ(response.version, "1");
    EXPECT_EQ(tensor_of(response.outputs.at(0)).item<float>(), 6.0F);
  }
  const auto statistics = backend.statistics().at(0);
  EXPECT_EQ(statistics.success, 4U);
  EXPECT_EQ(statistics.inferences, 4U);
  EXPECT_EQ(statistics.executions, 1U);
  EXPECT_GT(statistics.compute_infer_ns, 0U);
  EXPECT_GE(statistics.request_ns, statistics.compute_infer_ns + statistics.queue_ns);
  EXPECT_GT(statistics.load_seconds, 0.0);
}

TEST_F(LocalBackendTest, a_request_on_which_the_model_fails_leaves_its_neighbours_alone) {
  auto registry = shipped_classes();
  registry.models.add<Fussy>("Fussy");
  const auto model = registry.models.find("Fussy")->make({}, registry.optimizers);
  ArrayDataModule data(torch::ones({4, 2}), torch::ones({4}),
                       {.val_split = 0.0, .test_split = 0.0, .target_type = "value"});
  const auto path = trained(*model, data, "fussy.ckpt");
  LocalBackend backend(registry, {{.path = path}},
                       {.max_batch = 3, .delay_ms = 3600e3, .timeout = 7200.0});
  std::vector<std::promise<InferenceOutcome>> promises(3);
  for (size_t i = 0; i < 3; ++i) {
    const auto row = torch::full({1, 2}, i == 1 ? -1.0F : 1.0F);
    backend.infer(request_for("Fussy", wire_of(row)), [&promises, i](InferenceOutcome outcome) {
      promises[i].set_value(std::move(outcome));
    });
  }
  for (size_t i = 0; i < 3; ++i) {
    const auto outcome = promises[i].get_future().get();
    const auto* refusal = std::get_if<Refusal>(&outcome);
    EXPECT_EQ(refusal != nullptr, i == 1);
    if (refusal == nullptr) continue;
    EXPECT_EQ(refusal->status(), 500);
    EXPECT_FALSE(says(refusal->what(), {"secret"}));  // it is printed, not sent
  }
  EXPECT_EQ(backend.statistics().at(0).success, 2U);
  EXPECT_EQ(backend.statistics().at(0).failure[ModelStatistics::backend], 1U);
}

// Every request is answered once, by one checkpoint, while ten others take its place.
TEST_F(LocalBackendTest, a_thousand_requests_in_flight_during_ten_reloads) {
  const auto path = folder_ / "live.ckpt";
  save_number(path, 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}},
                       {.max_batch = 8, .delay_ms = 0.1, .reload = false});
  constexpr int kInFlight = 1000;
  constexpr int kReloads = 10;
  std::vector<std::atomic<int>> answers(static_cast<size_t>(kInFlight) * kReloads);
  std::atomic<int> wrong{0};
  std::atomic<int> answered{0};
  for (int reload = 0; reload < kReloads; ++reload) {
    save_number(path, reload + 2.0);
    std::thread client([&, reload] {
      for (int i = 0; i < kInFlight; ++i) {
        auto& count = answers[static_cast<size_t>(reload * kInFlight + i)];
        backend.infer(ones("m", 1 + i % 3), [&, i](const InferenceOutcome& outcome) {
          ++count;
          ++answered;
          const auto* response = std::get_if<InferenceResponse>(&outcome);
          if (response == nullptr) {
            ++wrong;
            return;
          }
          const auto values = tensor_of(response->outputs.at(0));
          const float expected = 3.0F * std::stof(response->version);
          if (values.numel() != 1 + i % 3 || !values.eq(expected).all().item<bool>()) ++wrong;
        });
      }
    });
    backend.load("m");
    client.join();
    EXPECT_EQ(number_of(backend, "m"), reload + 2.0);
    // The version that was replaced can still be asked by its name.
    EXPECT_EQ(number_of(backend, "m", std::to_string(reload + 1)), reload + 1.0);
  }
  EXPECT_TRUE(eventually([&] { return answered == kInFlight * kReloads; }));
  for (const auto& count : answers) EXPECT_EQ(count, 1);
  EXPECT_EQ(wrong, 0);
  ASSERT_EQ(backend.models().size(), 1U);
  EXPECT_EQ(backend.models()[0].version, "11");
}

TEST_F(LocalBackendTest, a_new_checkpoint_is_found_and_a_broken_one_is_not_served) {
  const auto run = folder_ / "run";
  save_number(run / "checkpoints" / "epoch=0.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = run}}, {});
  EXPECT_EQ(number_of(backend, "m"), 1.0);
  testing::internal::CaptureStderr();
  std::ofstream(run / "checkpoints" / "epoch=1.ckpt") << "torn";
  EXPECT_THROW(backend.load("m"), Refusal);
  EXPECT_EQ(number_of(backend, "m"), 1.0);
  EXPECT_TRUE(backend.is_ready());
  save_number(run / "checkpoints" / "epoch=2.ckpt", 2.0);
  EXPECT_TRUE(eventually([&] { return number_of(backend, "m") == 2.0; }));
  EXPECT_EQ(backend.models().at(0).version, "2");
  std::filesystem::remove_all(run);
  EXPECT_THROW(backend.load("m"), Refusal);
  EXPECT_EQ(number_of(backend, "m"), 2.0);
  // An operator learns of it all.
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"epoch=1.ckpt' isn't a whole checkpoint", "model 'm': version 2 is loaded",
                    "there is no checkpoint at '" + run.string()}));
}

// A chmod changes neither the time of the last write nor the size.
TEST_F(LocalBackendTest, a_checkpoint_that_could_not_be_read_is_tried_again_after_a_chmod) {
  using std::filesystem::perms;
  const auto models = folder_ / "models";
  save_number(models / "first.ckpt", 1.0);
  std::filesystem::permissions(folder_.path(), perms(0755));
  std::filesystem::permissions(models / "first.ckpt", perms(0644));
  const Registry registry = shipped_classes();
  MemoryBudget memory(1'000'000);
  ServedSource source(registry, {.name = "m", .path = models}, {}, at::kCPU, memory);
  save_number(models / "second.part", 2.0);
  std::filesystem::permissions(models / "second.part", perms(0));
  std::filesystem::rename(models / "second.part", models / "second.ckpt");
  const auto is_complete = [&] {
    const test::WithoutRoot without_root;
    return source.refresh();
  };
  EXPECT_FALSE(is_complete());
  EXPECT_FALSE(is_complete());
  EXPECT_TRUE(eventually([&] {  // again and again, if the clock of the file system is coarse
    std::filesystem::permissions(models / "second.ckpt", perms(0644));
    return is_complete();
  }));
  ASSERT_EQ(source.versions().size(), 1U);
  EXPECT_EQ(source.versions()[0]->metadata().version, "2");
}

TEST_F(LocalBackendTest, a_version_that_was_replaced_is_let_go) {
  const auto path = folder_ / "live.ckpt";
  save_number(path, 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}},
                       {.max_batch = 5, .delay_ms = 0.25, .reload = false, .replaced_for = 0.0});
  EXPECT_EQ(backend.models().at(0).max_batch, 5);
  EXPECT_EQ(backend.models().at(0).delay_us, 250);
  save_number(path, 2.0);
  backend.load("m");
  auto old = ones("m");
  old.version = "1";
  EXPECT_TRUE(eventually([&] { return refusal_of(backend, old).first == 404; }));
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
}

TEST_F(LocalBackendTest, versions_of_a_repository_are_served_side_by_side) {
  save_number(folder_ / "repository/2/model.ckpt", 2.0);
  save_number(folder_ / "repository/10/model.ckpt", 10.0);
  save_number(folder_ / "b.ckpt", 7.0);
  LocalBackend backend(
      shipped_classes(),
      {{.name = "m", .path = folder_ / "repository"}, {.name = "b", .path = folder_ / "b.ckpt"}},
      {.reload = false});
  ASSERT_EQ(backend.models().size(), 3U);
  EXPECT_EQ(backend.models()[0].name, "b");
  EXPECT_EQ(backend.models()[1].version, "2");
  EXPECT_EQ(backend.models()[2].version, "10");
  EXPECT_EQ(number_of(backend, "m"), 10.0);
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
  EXPECT_EQ(number_of(backend, "b"), 7.0);

  save_number(folder_ / "repository/11/model.ckpt", 11.0);
  std::filesystem::remove_all(folder_ / "repository/2");
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m"), 11.0);
  EXPECT_EQ(number_of(backend, "m", "10"), 10.0);
  auto old = ones("m");
  old.version = "2";
  EXPECT_EQ(refusal_of(backend, old).first, 404);
}

TEST_F(LocalBackendTest, a_model_that_was_unloaded_comes_back) {
  save_number(folder_ / "a.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}},
                       {.reload = false});
  backend.unload("m");
  EXPECT_TRUE(backend.models().empty());
  EXPECT_EQ(backend.unloaded(), (std::vector<std::string>{"m"}));
  EXPECT_EQ(refusal_of(backend, ones("m")).first, 503);
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m", "1"), 1.0) << "the same file is the same version";
  EXPECT_THROW(backend.load("other"), Refusal);
  save_number(folder_ / "a.ckpt", 2.0);
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
  backend.drain();
  EXPECT_EQ(refusal_of(backend, ones("m")).first, 503);
  EXPECT_FALSE(backend.is_ready());
}

TEST_F(LocalBackendTest, what_can_not_be_served_is_refused_at_the_start) {
  save_number(folder_ / "a.ckpt", 1.0);
  std::ofstream(folder_ / "torn.ckpt") << "torn";
  std::filesystem::create_directory(folder_ / "empty");
  const auto message = [&](std::vector<ModelSource> sources, LocalBackendOptions options = {}) {
    return message_of<Error>(
        [&] { LocalBackend(shipped_classes(), std::move(sources), std::move(options)); });
  };
  const auto path_of = [&](const char* name) {
    return std::vector<ModelSource>{{.path = folder_ / name}};
  };
  EXPECT_TRUE(says(message(path_of("torn.ckpt")), {"torn.ckpt"}));
  StateDict weights;  // as a state dict of PyTorch has them
  weights.tensors = number_.tensors;
  save_checkpoint(folder_ / "weights.ckpt", weights);
  EXPECT_TRUE(says(message(path_of("weights.ckpt")),
                   {"weights.ckpt", "which class", "serve a checkpoint that `levin fit`"}));
  EXPECT_TRUE(says(message(path_of("missing.ckpt")), {"missing.ckpt", "there is no checkpoint"}));
  EXPECT_TRUE(says(message(path_of("empty")), {"empty", "there is no checkpoint"}));
  EXPECT_TRUE(says(message({{.path = folder_ / "a.ckpt"}, {.path = folder_ / "a.ckpt"}}),
                   {"two models", "LinearRegression"}));
  EXPECT_TRUE(says(message({{.name = "a/b", .path = folder_ / "a.ckpt"}}), {"a/b"}));
  EXPECT_TRUE(says(message(path_of("a.ckpt"), {.max_batch = 0}), {"batch", "at least 1"}));
  EXPECT_TRUE(says(message(path_of("a.ckpt"), {.device = "tpu"}), {"tpu", "cpu"}));
  EXPECT_TRUE(says(message({}), {"no model"}));
}

TEST_F(LocalBackendTest, what_may_not_be_read_is_refused_with_the_cause) {
  save_number(folder_ / "models/a.ckpt", 1.0);
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  const auto refused = [&](const std::string& path) {
    const test::WithoutRoot without_root;
    return message_of<Error>([&] { LocalBackend(shipped_classes(), {{.path = path}}, {}); });
  };
  std::filesystem::permissions(folder_ / "models/a.ckpt", std::filesystem::perms(0));
  EXPECT_TRUE(says(refused(folder_ / "models"), {"a.ckpt", "Permission denied"}));
  std::filesystem::permissions(folder_ / "models", std::filesystem::perms(0));
  EXPECT_TRUE(says(refused(folder_ / "models"), {"models", "Permission denied"}));
  std::filesystem::permissions(folder_ / "models", std::filesystem::perms(0755));
}

TEST_F(LocalBackendTest, an_idle_model_that_is_quick_answers_on_the_thread_of_the_server) {
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  ArrayDataModule data(torch::randn({6, 4}), torch::arange(6).remainder(3),
                       {.val_split = 0.0, .test_split = 0.0});
  const auto path = trained(model, data, "m.ckpt");
  for (const bool is_quick : {true, false}) {
    LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}},
                         {.quick_batch_us = is_quick ? 1e9 : 0.0});
    std::atomic<int> here{0};
    const auto rows = torch::ones({1, 4});
    HttpServer server({.port = 0}, [&](const HttpRequest&, const HttpReply& reply) {
      const auto thread = std::this_thread::get_id();
      backend.infer(request_for("m", wire_of(rows)),
                    [&here, thread, reply](const InferenceOutcome& outcome) {
                      if (std::this_thread::get_id() == thread) ++here;
                      const bool is_answer = std::holds_alternative<InferenceResponse>(outcome);
                      reply({.status = is_answer ? 200 : 500});
                    });
    });
    test::RawClient client(server.port());
    int asked = 0;
    const auto ask = [&] {
      EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
      return ++asked >= 20;
    };
    EXPECT_TRUE(eventually([&] { return ask() && (!is_quick || here > 0); }));
    EXPECT_EQ(here > 0, is_quick);
  }
}

/// Two requests that arrive together are answered on the server's thread if it may answer so many.
TEST_F(LocalBackendTest, as_many_requests_are_answered_on_the_thread_of_the_server_as_it_may) {
  save_number(folder_ / "a.ckpt", 1.0);
  for (const size_t most : {size_t{1}, size_t{2}}) {
    LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}},
                         {.quick_batch_us = 1e9, .quick_requests = most});
    std::atomic<int> pairs_here{0};
    HttpServer server({.port = 0, .threads = 1}, [&](const HttpRequest&, const HttpReply& reply) {
      const auto thread = std::this_thread::get_id();
      const auto here = std::make_shared<std::atomic<int>>(0);
      const auto left = std::make_shared<std::atomic<int>>(2);
      for (int i = 0; i < 2; ++i) {
        backend.infer(ones("m"), [&pairs_here, thread, here, left, reply](const InferenceOutcome&) {
          if (std::this_thread::get_id() == thread) ++*here;
          if (--*left > 0) return;
          if (*here == 2) ++pairs_here;
          reply({.status = 200});
        });
      }
    });
    test::RawClient client(server.port());
    int asked = 0;
    EXPECT_TRUE(eventually([&] {
      EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
      return ++asked >= 20 && (most == 1 || pairs_here > 0);
    }));
    EXPECT_EQ(pairs_here > 0, most == 2);
  }
}

}  // namespace levin::local_backend_test
