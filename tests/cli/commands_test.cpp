#include <levin/cli/command_line.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include <levin/cli/help.h>
#include <levin/cli/report.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/transforms.h>
#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/levin.h>

#include "framework/temporary_folder.h"

// A program of one's own, and the texts that commands print (rows 22 and 33).

namespace mine {

struct ZeroRuleOptions {
  int64_t num_classes = 3;
};
levin::Fields describe(ZeroRuleOptions& o) {
  return levin::fields_of<ZeroRuleOptions>({{"num_classes", &o.num_classes, "Number of classes"}});
}

struct SignDescentOptions {
  double learning_rate = 0.01;
};
levin::Fields describe(SignDescentOptions& o) {
  return levin::fields_of<SignDescentOptions>(
      {{"learning_rate", &o.learning_rate, "Length of a step"}});
}

/// Moves every parameter by the same length, down its gradient.
class SignDescent : public levin::PerParameterOptimizer {
 public:
  using Options = SignDescentOptions;
  SignDescent(std::vector<torch::Tensor> parameters, SignDescentOptions options)
      : PerParameterOptimizer(levin::single_group(std::move(parameters)), options.learning_rate,
                              0.0, {.has_fused = false}) {}
  std::string name() const override { return "SignDescent"; }
  static int64_t steps() { return steps_; }

 protected:
  void plain(const Lists& lists) override {
    ++steps_;
    for (size_t i = 0; i < lists.parameters.size(); ++i) {
      lists.parameters[i].add_(lists.gradients[i].sign(), -lists.learning_rate);
    }
  }

 private:
  inline static int64_t steps_ = 0;
};

struct HalvingOptions {
  int64_t period = 1;
};
levin::Fields describe(HalvingOptions& o) {
  return levin::fields_of<HalvingOptions>({{"period", &o.period, "Epochs between two halvings"}});
}
class Halving : public levin::Scheduler {
 public:
  using Options = HalvingOptions;
  explicit Halving(HalvingOptions options) : options_(options) {}
  double factor(int64_t counter) const override {
    return std::pow(0.5, static_cast<double>(counter / options_.period));
  }

 private:
  HalvingOptions options_;
};

struct RatelessOptions {
  double step_size = 0.01;
};
levin::Fields describe(RatelessOptions& o) {
  return levin::fields_of<RatelessOptions>({{"step_size", &o.step_size, "Length of a step"}});
}
class Rateless : public SignDescent {
 public:
  using Options = RatelessOptions;
  Rateless(std::vector<torch::Tensor> parameters, RatelessOptions options)
      : SignDescent(std::move(parameters), {.learning_rate = options.step_size}) {}
};

/// Learns how frequent the classes are, and nothing else.
class ZeroRule : public levin::Module {
 public:
  using Options = ZeroRuleOptions;
  explicit ZeroRule(ZeroRuleOptions options)
      : logits_(register_parameter("logits", torch::zeros({options.num_classes}))) {}

  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto loss = torch::cross_entropy_loss(logits_.expand({batch.rows(), -1}), batch.target());
    step.log("train_loss", loss, {.on_epoch = true});
    return loss;
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.1});
  }

 private:
  torch::Tensor logits_;
};

/// A model without settings, whose layer doesn't fit the data.
class Misfit : public levin::Module {
 public:
  Misfit() : linear_(register_module("linear", torch::nn::Linear(5, 3))) {}
  torch::Tensor training_step(const levin::Batch& batch, levin::Step&) override {
    return torch::cross_entropy_loss(linear_(batch.input()), batch.target());
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.1});
  }

 private:
  torch::nn::Linear linear_;
};

}  // namespace mine

namespace levin::commands_test {

int run(std::vector<const char*> words, const Registry& registry, std::string* out = nullptr,
        std::string* err = nullptr) {
  words.insert(words.begin(), "mine");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = run_command_line(static_cast<int>(words.size()), words.data(), registry);
  const std::string printed = testing::internal::GetCapturedStdout();
  const std::string said = testing::internal::GetCapturedStderr();
  if (out != nullptr) *out = printed;
  if (err != nullptr) *err = said;
  return status;
}

TEST(Commands, a_class_of_ones_own_is_listed_explained_and_trained) {
  Registry registry = shipped_classes();
  registry.models.add<mine::ZeroRule>("ZeroRule", "the most frequent class");
  std::string out;
  EXPECT_EQ(run({"list", "models"}, registry, &out), 0);
  EXPECT_NE(out.find("ZeroRule"), std::string::npos) << out;
  EXPECT_NE(out.find("LogisticRegression"), std::string::npos) << out;
  EXPECT_EQ(run({"help", "ZeroRule"}, registry, &out), 0);
  EXPECT_NE(out.find("num_classes: int = 3"), std::string::npos) << out;
  EXPECT_EQ(run({"help", "ZeroRule", "export", "trainer"}, registry, &out), 0);
  for (const char* part : {"ZeroRule: ", "\n\nusage: mine export ", "\n\ntrainer: how to train"}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << " is missing:\n" << out;
  }

  std::string err;
  const int status =
      run({"fit", "--model", "ZeroRule", "--data", "IrisDataModule", "--trainer.max_epochs=2",
           "--trainer.limit_val_batches=0", "--trainer.logger=false",
           "--trainer.enable_checkpointing=false", "--json"},
          registry, &out, &err);
  ASSERT_EQ(status, 0) << err;
  EXPECT_LT(Value::from_json(out).at("train_loss_epoch").as_double(), 1.2);
}

TEST(Commands, errors_become_statuses) {
  const Registry registry = shipped_classes();
  std::string err;
  EXPECT_EQ(run({"fit", "--model", "ZeroRule"}, registry, nullptr, &err), 2);
  EXPECT_EQ(err.rfind("error: command line: model: unknown class 'ZeroRule'; ", 0), 0U) << err;
  EXPECT_EQ(run({"plot", "/nowhere"}, registry), 1);
  EXPECT_EQ(run({"help", "MLQ"}, registry, nullptr, &err), 2);
  EXPECT_NE(err.find("did you mean 'MLP'?"), std::string::npos) << err;
}

/// The first word of each line that `levin list KIND` prints.
std::vector<std::string> listed(const char* kind) {
  std::string out;
  EXPECT_EQ(run({"list", kind}, shipped_classes(), &out), 0);
  std::vector<std::string> names;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    words >> names.emplace_back();
  }
  return names;
}

TEST(Commands, every_shipped_optimizer_and_scheduler_is_listed) {
  EXPECT_EQ(listed("optimizers"),
            (std::vector<std::string>{"SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "LBFGS",
                                      "OnlineSGD", "OnlineAdagrad", "FTRL", "lbfgs", "newton-cg",
                                      "trust-region", "newton-cholesky", "coordinate-descent",
                                      "coordinate-descent-or-lbfgs", "dual-coordinate-descent",
                                      "lockstep-newton", "sag", "saga"}));
  EXPECT_EQ(listed("schedulers"),
            (std::vector<std::string>{"StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR",
                                      "CosineAnnealingWarmRestarts", "PolynomialLR", "ConstantLR",
                                      "LinearLR", "WarmupLR", "OneCycleLR", "CyclicLR",
                                      "SequentialLR", "ReduceLROnPlateau"}));
}

Registry with_sign_descent() {
  Registry registry = shipped_classes();
  registry.optimizers.add<mine::SignDescent>("SignDescent", "steps of one length");
  return registry;
}

/// Trains a LogisticRegression on Iris for two epochs (10 steps) with further words.
int train_iris(const Registry& registry, const std::vector<const char*>& more,
               std::string* err = nullptr) {
  std::vector<const char*> words = {"fit",
                                    "--model=LogisticRegression",
                                    "--model.in_features=4",
                                    "--model.num_classes=3",
                                    "--data=IrisDataModule",
                                    "--data.batch_size=20",
                                    "--trainer.limit_train_batches=5",
                                    "--trainer.max_epochs=2",
                                    "--trainer.limit_val_batches=0",
                                    "--trainer.logger=false",
                                    "--trainer.enable_checkpointing=false"};
  words.insert(words.end(), more.begin(), more.end());
  return run(words, registry, nullptr, err);
}

TEST(Commands, metrics_of_a_model_are_chosen_by_name_or_with_settings) {
  EXPECT_EQ(listed("metrics"),
            (std::vector<std::string>{"accuracy", "precision", "recall", "f1", "fbeta", "auroc",
                                      "average_precision", "confusion_matrix", "log_loss", "brier",
                                      "calibration_error", "mse", "mae", "r2"}));
  const auto with = [](const char* metrics, std::string* err) {
    return train_iris(shipped_classes(), {metrics}, err);
  };
  std::string err;
  EXPECT_EQ(with("--model.metrics=[f1, {name: fbeta, beta: 2, average: macro}]", &err), 0) << err;
  EXPECT_EQ(with("--model.metrics=[f1, {name: fbeta, beta: -2}]", &err), 2);
  EXPECT_NE(err.find("fbeta: beta = -2"), std::string::npos) << err;
  EXPECT_EQ(with("--model.metrics=[f1x]", &err), 2);
  EXPECT_NE(err.find("unknown metrics 'f1x'; did you mean 'f1'?"), std::string::npos) << err;
}

TEST(Commands, an_optimizer_of_ones_own_is_a_models_optimizer_and_a_configurations) {
  Registry registry = with_sign_descent();
  registry.schedulers.add<mine::Halving>("Halving", "halves the rate");
  std::string out;
  EXPECT_EQ(run({"list", "optimizers"}, registry, &out), 0);
  EXPECT_NE(out.find("SignDescent"), std::string::npos) << out;

  const std::vector<std::vector<const char*>> ways = {
      {"--model.init_args.optimizer=SignDescent"},
      {"--model.optimizer=SignDescent"},
      {"--model.optimizer=mine::SignDescent"},
      {"--optimizer={class_path: SignDescent}"},
      {"--optimizer=SignDescent", "--optimizer.learning_rate=0.1", "--lr_scheduler=Halving"}};
  for (const auto& way : ways) {
    const int64_t before = mine::SignDescent::steps();
    std::string err;
    EXPECT_EQ(train_iris(registry, way, &err), 0) << way[0] << "\n" << err;
    EXPECT_EQ(mine::SignDescent::steps() - before, 10) << way[0];
  }
}

TEST(Commands, a_models_optimizer_is_looked_up_in_the_registry_in_force) {
  std::string err;
  EXPECT_EQ(train_iris(shipped_classes(), {"--model.optimizer=SignDescent"}, &err), 2);
  EXPECT_EQ(err.rfind("error: command line: model: unknown optimizer 'SignDescent'; ", 0), 0U)
      << err;
  EXPECT_EQ(train_iris(with_sign_descent(), {"--model.optimizer=SignDecent"}, &err), 2);
  EXPECT_EQ(err.rfind("error: command line: model: unknown optimizer 'SignDecent'; did you mean "
                      "'SignDescent'?",
                      0),
            0U)
      << err;
}

TEST(Commands, a_models_optimizer_must_have_the_setting_the_model_gives_it) {
  Registry registry = shipped_classes();
  registry.optimizers.add<mine::Rateless>("Rateless");
  std::string err;
  EXPECT_EQ(train_iris(registry, {"--model.optimizer=Rateless"}, &err), 2);
  EXPECT_EQ(err.rfind("error: command line: model.optimizer = Rateless: ", 0), 0U) << err;
  EXPECT_NE(err.find("learning_rate"), std::string::npos) << err;
  EXPECT_EQ(train_iris(registry, {"--optimizer=Rateless"}, &err), 0) << err;
}

TEST(Commands, without_a_registry_a_model_takes_a_list_of_optimizers) {
  OptimizerList optimizers = shipped_optimizers();
  optimizers.add<mine::SignDescent>("SignDescent");
  LogisticRegression model({.in_features = 4, .num_classes = 3, .optimizer = "SignDescent"},
                           optimizers);
  EXPECT_EQ(model.configure_optimizers().entries()[0].optimizer->name(), "SignDescent");
  LogisticRegression shipped({.in_features = 4, .num_classes = 3, .optimizer = "SGD"});
  EXPECT_EQ(shipped.configure_optimizers().entries()[0].optimizer->name(), "SGD");
  EXPECT_THROW(LogisticRegression({.in_features = 4, .num_classes = 3, .optimizer = "SignDescent"}),
               ConfigError);
}

TEST(Commands, an_error_of_libtorch_is_one_line_that_says_where) {
  Registry registry = shipped_classes();
  registry.models.add<mine::Misfit>("Misfit", "a layer of the wrong size");
  std::string out;
  EXPECT_EQ(run({"help", "Misfit"}, registry, &out), 0);
  EXPECT_NE(out.find("no settings"), std::string::npos) << out;
  std::string err;
  EXPECT_EQ(
      run({"fit", "--model=Misfit", "--data=IrisDataModule", "--data.batch_size=20",
           "--trainer.accelerator=cpu", "--trainer.limit_val_batches=0", "--trainer.max_epochs=1",
           "--trainer.logger=false", "--trainer.enable_model_summary=false",
           "--trainer.enable_progress_bar=false", "--trainer.enable_checkpointing=false"},
          registry, nullptr, &err),
      1);
  EXPECT_NE(err.find("error: mat1 and mat2 shapes cannot be multiplied (20x4 and 5x3) (in fit at "
                     "epoch 0, step 0, batch 0, rank 0)\n"),
            std::string::npos)
      << err;
  EXPECT_EQ(err.find("Exception raised"), std::string::npos) << err;
}

/// The bytes that this process has read from files so far; nothing if the system doesn't say.
std::optional<int64_t> bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string name;
  for (int64_t number = 0; file >> name >> number;) {
    if (name == "rchar:") return number;
  }
  return {};
}

TEST(Commands, the_weights_of_a_checkpoint_alone_are_read_once) {
  if (!bytes_read()) GTEST_SKIP() << "the system doesn't count the bytes that are read";
  const MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {2048, 512}});
  StateDict checkpoint;
  checkpoint.add("model", model.state_dict());
  checkpoint.values["module"] =
      to_value(ModuleDescription{.class_path = "MLP", .init_args = model.hyper_parameters()});
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "large.ckpt";  // 4 MB
  save_checkpoint(path, checkpoint);
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path));
  const std::string file = path.string();
  const std::string output = (folder.path() / "p.npz").string();
  for (const char* command : {"validate", "test", "predict"}) {
    std::vector<const char*> words = {command,
                                      "--ckpt-path",
                                      file.c_str(),
                                      "--data=IrisDataModule",
                                      "--trainer.accelerator=cpu",
                                      "--trainer.logger=false"};
    if (command == std::string("predict")) words.insert(words.end(), {"--output", output.c_str()});
    const int64_t before = bytes_read().value_or(0);
    std::string err;
    ASSERT_EQ(run(words, shipped_classes(), nullptr, &err), 0) << err;
    const int64_t read = bytes_read().value_or(0) - before;
    EXPECT_GE(read, size) << command;
    EXPECT_LT(read, size + size / 2) << command;
  }
}

TEST(Commands, every_setting_of_every_class_is_explained) {
  const Registry registry = shipped_classes();
  const auto check = [&](const auto& list) {
    for (const auto& entry : list.entries()) {
      EXPECT_FALSE(entry.help.empty()) << entry.name;
      const auto draft = entry.draft();
      const std::string help = settings_help(registry, entry.name);
      for (const auto& field : draft.fields) {
        EXPECT_FALSE(field.help.empty()) << entry.name << "." << field.name;
        EXPECT_NE(help.find("  " + field.name + ": "), std::string::npos) << help;
      }
    }
  };
  check(registry.models);
  check(registry.datamodules);
  check(registry.callbacks);
  check(registry.loggers);
  check(registry.optimizers);
  check(registry.schedulers);
  check(shipped_metrics());
  check(shipped_transforms());
  check(shipped_gradient_compressions());
  check(shipped_model_averagings());
  EXPECT_NE(settings_help(registry, "trainer").find("  max_epochs: "), std::string::npos);
}

TEST(Commands, metrics_are_json_whatever_their_value) {
  Value more;
  more["epochs"] = 3;
  EXPECT_EQ(metrics_json({{"a", 0.1}, {"b", std::nan("")}, {"c", INFINITY}}, more),
            R"({"a":0.1,"b":null,"c":null,"epochs":3})");
}

}  // namespace levin::commands_test
