#include <levin/serving/models/local_backend.h>

#include <atomic>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/table.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/serving/http/http_server.h>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "serving/http/raw_client.h"
#include "serving/models/local_backend_fixture.h"

namespace levin::local_backend_test {

using test::eventually;
using test::says;

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
