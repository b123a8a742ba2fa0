#include <levin/cli/command_line.h>

#include <cmath>

#include <gtest/gtest.h>

#include <levin/cli/help.h>
#include <levin/cli/report.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/factory.h>
#include <levin/levin.h>

// A program of one's own, and the texts that commands print (rows 22 and 33).

namespace mine {

struct ZeroRuleOptions {
  int64_t num_classes = 3;
};
levin::Fields describe(ZeroRuleOptions& o) {
  return levin::fields_of<ZeroRuleOptions>({{"num_classes", &o.num_classes, "Number of classes"}});
}

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

TEST(Commands, every_optimizer_and_scheduler_of_the_factory_is_listed) {
  const Registry registry = shipped_classes();
  EXPECT_EQ(registry.optimizers.names(), optimizer_names());
  EXPECT_EQ(registry.schedulers.names(), scheduler_names());
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
  EXPECT_NE(settings_help(registry, "trainer").find("  max_epochs: "), std::string::npos);
}

TEST(Commands, metrics_are_json_whatever_their_value) {
  Value more;
  more["epochs"] = 3;
  EXPECT_EQ(metrics_json({{"a", 0.1}, {"b", std::nan("")}, {"c", INFINITY}}, more),
            R"({"a":0.1,"b":null,"c":null,"epochs":3})");
}

}  // namespace levin::commands_test
