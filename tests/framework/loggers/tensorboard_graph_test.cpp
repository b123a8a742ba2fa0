#include <levin/framework/loggers/module_graph.h>
#include <levin/framework/loggers/tensorboard_logger.h>
#include <levin/models/mlp.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "callbacks/fixture.h"
#include "framework/loggers/event_files.h"
#include "framework/message_of.h"
#include "framework/python.h"

namespace levin::test::tensorboard_graph_test {

/// Drops units, and draws numbers when it predicts.
class Predicting : public Classifier {
 public:
  explicit Predicting(bool has_example = true) : Classifier(0.5), has_example_(has_example) {}
  NamedTensors predict(const Batch& batch) override {
    ++predictions;
    return {{"class", (forward(batch.input()) + torch::rand({3})).argmax(1)}};
  }
  NamedTensors example_input_array() const override {
    return has_example_ ? NamedTensors{{"example", torch::ones({2, 4}, torch::kDouble)}}
                        : NamedTensors();
  }
  int64_t predictions = 0;

 private:
  bool has_example_;
};

struct Fitted {
  std::vector<torch::Tensor> parameters;
  std::string events;
  std::string said;
};

class TensorBoardGraph : public ::testing::Test {
 protected:
  fs::path run_folder() const { return folder_.path() / "levin_logs" / "version_0"; }

  /// A fit in an empty folder or, from a checkpoint, in that of the fit before.
  Fitted fit(Module& model, bool log_graph, const std::string& from = "") {
    if (from.empty()) fs::remove_all(folder_.path() / "levin_logs");
    PointsModule data(40, {.batch_size = 8, .shuffle = true});
    Trainer trainer({.max_epochs = 4,
                     .num_sanity_val_steps = 0,
                     .log_every_n_steps = 2,
                     .default_root_dir = folder_.string()});
    trainer.add_logger<TensorBoardLogger>({.log_graph = log_graph});
    trainer.add<SaveInTheMiddle>();
    ::testing::internal::CaptureStderr();
    trainer.fit(model, data, from);
    EXPECT_FALSE(fs::exists(folder_.path() / "levin_logs" / "version_1")) << "it went on elsewhere";
    Fitted result{.parameters = {},
                  .events = events_in(run_folder()),
                  .said = ::testing::internal::GetCapturedStderr()};
    for (const auto& parameter : model.parameters()) {
      result.parameters.push_back(parameter.detach().clone());
    }
    return result;
  }

  TemporaryFolder folder_;
  StoppedClock clock_;
};

int64_t count_of(std::string_view part, std::string_view text) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

/// The event of the graph by which `model` predicts `input`.
std::string graph_event(Module& model, const Batch& input) {
  return events::graph(module_graph(model, input), files::wall_seconds());
}

void expect_same_training(const Fitted& a, const Fitted& b) {
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    EXPECT_TRUE(same_bits(a.parameters[i], b.parameters[i])) << "parameter " << i;
  }
}

TEST_F(TensorBoardGraph, IsThatOfTheExampleAndChangesNoBitOfTheTraining) {
  const auto train = [&](bool log_graph) {
    seed_everything(5);
    Predicting model;
    auto result = fit(model, log_graph);
    EXPECT_EQ(model.predictions, log_graph ? 1 : 0);
    return result;
  };
  const Fitted with = train(true);
  const Fitted without = train(false);
  expect_same_training(with, without);
  Predicting model;
  const std::string event = graph_event(model, Batch({{"example", torch::ones({2, 4})}}));
  std::string rest = with.events;
  ASSERT_EQ(count_of(event, rest), 1);
  rest.erase(rest.find(event), event.size());
  EXPECT_EQ(rest.size(), without.events.size()) << "nothing else is in the file";
}

TEST_F(TensorBoardGraph, IsThatOfTheFirstTrainingBatchIfThereIsNoExample) {
  const auto train = [&](bool log_graph) {
    seed_everything(5);
    Predicting model(/*has_example=*/false);
    return fit(model, log_graph);
  };
  const Fitted with = train(true);
  expect_same_training(with, train(false));
  Predicting model;
  const auto event = graph_event(model, Batch({{"input", torch::ones({8, 4})},  //
                                               {"target", torch::ones({8})}}));
  EXPECT_EQ(count_of(event, with.events), 1);
}

TEST_F(TensorBoardGraph, OfAShippedModelChangesNoBitOfItsTraining) {
  const auto train = [&](bool log_graph) {
    seed_everything(5);
    MLP model({.hidden_sizes = {6}});
    return fit(model, log_graph);
  };
  const Fitted with = train(true);
  expect_same_training(with, train(false));
  EXPECT_EQ(count_of("layer1/linear", with.events), 3)  // itself, and the inputs of two others
      << "the model finds its sizes before the graph is made";
}

TEST_F(TensorBoardGraph, AResumedFitWritesItOnce) {
  const auto train = [&](bool log_graph, const std::string& from) {
    seed_everything(5);
    Predicting model;
    auto result = fit(model, log_graph, from);
    return std::pair(std::move(result.events), model.predictions);
  };
  const std::string middle = (run_folder() / "checkpoints" / "middle.ckpt").string();
  const auto through = train(true, "");
  EXPECT_EQ(train(true, middle), std::pair(through.first, int64_t{0}));
  Predicting model;
  const std::string event = graph_event(model, Batch({{"example", torch::ones({2, 4})}}));
  EXPECT_EQ(count_of(event, train(false, "").first), 0);
  EXPECT_EQ(count_of(event, train(true, middle).first), 1) << "asked for when it resumes";
}

TEST_F(TensorBoardGraph, AModuleThatCannotPredictIsTrainedWithAWarning) {
  Classifier model;  // it has only predict_step
  const Fitted result = fit(model, true);
  EXPECT_TRUE(says(result.said, {"warning: the graph of the module isn't logged: predict: the "
                                 "module doesn't have it"}));
  EXPECT_EQ(count_of("isn't logged", result.said), 1);
}

TEST_F(TensorBoardGraph, AFirstBatchThatCannotBeReadIsAWarning) {
  const auto refuse = [](Batch& /*batch*/, const TransformContext& context) {
    if (!context.augment) throw std::runtime_error("only augmented rows");
  };
  PointsModule data(16, {.batch_size = 8, .transform = refuse});
  Predicting model(/*has_example=*/false);
  Trainer trainer({.max_epochs = 2, .log_every_n_steps = 1, .default_root_dir = folder_.string()});
  trainer.add_logger<TensorBoardLogger>({.log_graph = true});
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(trainer.fit(model, data).epochs.size(), 2U);
  EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(),
                   {"warning: the graph of the module isn't logged", "only augmented rows",
                    "example_input_array"}));
  EXPECT_EQ(count_of("_output_shapes", events_in(run_folder())), 0);
}

/// A logger of one's own.
class OwnLogger : public Logger {
 public:
  struct Options {
    std::vector<std::string>* calls = nullptr;
    bool keeps = true;
  };
  explicit OwnLogger(Options options) : options_(options) {}
  void start(Run& run) override { note(fmt::format("start {}", stage_name(run.stage()))); }
  void log_hyper_parameters(const Value& /*settings*/) override { note("settings"); }
  bool keeps_graph() const override { return options_.keeps; }
  void log_graph(Module& module, const Batch& input) override {
    note(fmt::format("graph of {} for {} rows", module.class_name(), input.rows()));
  }
  void log_metrics(const MetricMap& /*metrics*/, int64_t /*epoch*/, int64_t /*step*/) override {}

 private:
  void note(const std::string& call) { options_.calls->push_back(call); }
  Options options_;
};

TEST_F(TensorBoardGraph, LoggersOfOnesOwnGetTheModuleAndAnInputInAFit) {
  std::vector<std::string> calls;
  std::vector<std::string> other_calls;
  PointsModule data(16, {.batch_size = 8});
  Predicting model;
  Trainer trainer({.max_epochs = 1, .log_every_n_steps = 1, .default_root_dir = folder_.string()});
  trainer.add_logger<OwnLogger>({.calls = &calls});
  trainer.add_logger<OwnLogger>({.calls = &other_calls, .keeps = false});
  trainer.fit(model, data);
  trainer.test(model, data);
  EXPECT_EQ(calls,
            (std::vector<std::string>{"start fit", "settings", "graph of Predicting for 2 rows",
                                      "start test", "settings"}));
  EXPECT_EQ(other_calls,
            (std::vector<std::string>{"start fit", "settings", "start test", "settings"}));
}

TEST_F(TensorBoardGraph, TensorBoardsOwnReaderReadsIt) {
  Predicting model;
  fit(model, true);
  const PythonResult python = run_python("tensorboard_read.py", {run_folder().string()});
  if (python.status == 77) GTEST_SKIP() << "no Python with tensorboard: set LEVIN_PYTHON to one";
  ASSERT_EQ(python.status, 0) << python.output;
  auto expected = nlohmann::json::array();
  for (const auto& node : module_graph(model, Batch({{"example", torch::ones({2, 4})}}))) {
    auto shapes = nlohmann::json::array();
    for (const auto& shape : node.shapes) shapes.push_back(shape.value());
    nlohmann::json attributes = nlohmann::json::object();
    for (const auto& [name, text] : node.attributes) attributes[name] = text;
    expected.push_back({{"name", node.name},
                        {"op", node.op},
                        {"inputs", node.inputs},
                        {"shapes", shapes},
                        {"attributes", attributes}});
  }
  const auto read = nlohmann::json::parse(python.output).at("graph");
  EXPECT_EQ(read, expected);
  EXPECT_GE(read.size(), 9U);
}

}  // namespace levin::test::tensorboard_graph_test
