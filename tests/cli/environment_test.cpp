#include <levin/cli/environment.h>

#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/core/error.h>

#include "cli/program.h"
#include "framework/message_of.h"

namespace levin::environment_test {

using test::message_of;
using test::says;

EnvironmentSettings read(const std::vector<std::string>& environment) {
  return read_environment("fit", environment, shipped_classes());
}

TEST(Environment, two_underscores_are_a_dot_and_capitals_small_letters) {
  const auto settings =
      read({"LEVIN_TRAINER__MAX_EPOCHS=5", "LEVIN_MODEL__HIDDEN_SIZES=[3, 4]", "LEVIN_MODEL=MLP",
            "LEVIN_CKPT_PATH=last", "LEVIN_OPTIMIZER__C=0.5", "HOME=/home/x",
            "LEVIN_LR_SCHEDULER__T_MAX=7", "LEVIN_SEED_EVERYTHING=3"});
  std::map<std::string, Value> found;
  for (const auto& each : settings.overrides) found[each.path] = each.value.plain();
  const std::map<std::string, Value> expected{
      {"trainer.max_epochs", 5}, {"model.hidden_sizes", Value::Array{3, 4}},
      {"model", "MLP"},          {"ckpt_path", "last"},
      {"optimizer.C", 0.5},      {"lr_scheduler.T_max", 7},
      {"seed_everything", 3}};
  EXPECT_EQ(found, expected);
  EXPECT_TRUE(settings.configs.empty());
}

TEST(Environment, variables_with_another_purpose_are_left_alone) {
  const auto settings = read({"LEVIN_TORCH_DIR=/torch", "LEVIN_LAUNCHED=1", "LEVIN_RUN_ID=x",
                              "LEVIN_MAX_RESTARTS=3", "LEVINE__X=1", "LEVIN_=1"});
  EXPECT_TRUE(settings.overrides.empty());
}

TEST(Environment, files_are_one_or_a_list) {
  EXPECT_EQ(read({"LEVIN_CONFIG=a.yaml"}).configs, std::vector<std::string>{"a.yaml"});
  EXPECT_EQ(read({"LEVIN_CONFIG=[a.yaml, b.yaml]", "LEVIN_FIT__CONFIG=c.yaml"}).configs,
            (std::vector<std::string>{"a.yaml", "b.yaml", "c.yaml"}));
}

TEST(Environment, those_of_a_command_count_for_it_alone_and_win) {
  const auto settings = read({"LEVIN_FIT__TRAINER__MAX_EPOCHS=7", "LEVIN_TRAINER__MAX_EPOCHS=5",
                              "LEVIN_TEST__TRAINER__MAX_EPOCHS=9"});
  ASSERT_EQ(settings.overrides.size(), 2u);
  EXPECT_EQ(settings.overrides[0].value.plain(), Value(5));
  EXPECT_EQ(settings.overrides[1].value.plain(), Value(7));
  EXPECT_EQ(settings.overrides[1].path, "trainer.max_epochs");
}

TEST(Environment, an_unknown_beginning_is_refused_by_the_nearest) {
  EXPECT_TRUE(says(message_of<ConfigError>([] { read({"LEVIN_TRANER__MAX_EPOCHS=5"}); }),
                   {"LEVIN_TRANER__MAX_EPOCHS", "did you mean 'LEVIN_TRAINER'?"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] { read({"LEVIN_FIT__MODLE__LR=5"}); }),
                   {"LEVIN_FIT__MODLE__LR", "did you mean 'LEVIN_MODEL'?"}));
}

/// Runs the program with variables.
class EnvironmentProgram : public test::ProgramTest {
 protected:
  ~EnvironmentProgram() override {
    for (const auto& name : set_) ::unsetenv(name.c_str());
  }
  void set(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }
  std::vector<std::string> set_;
};

TEST_F(EnvironmentProgram, settings_win_over_its_file_and_lose_to_the_command_line) {
  write("environment.yaml",
        "trainer: {max_epochs: 2, min_epochs: 2, log_every_n_steps: 2, max_steps: 2}\n"
        "model: {class_path: MLP, init_args: {learning_rate: 0.25}}\n");
  write("line.yaml", "trainer: {log_every_n_steps: 4, max_steps: 4}\n");
  set("LEVIN_CONFIG", "environment.yaml");
  set("LEVIN_TRAINER__MIN_EPOCHS", "3");
  set("LEVIN_TRAINER__LOG_EVERY_N_STEPS", "3");
  set("LEVIN_TRAINER__MAX_STEPS", "3");
  set("LEVIN_DATA", "IrisDataModule");
  const auto ended =
      run({"fit", "--config", "line.yaml", "--trainer.max_steps=5", "--print-config"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  for (const char* line : {"max_epochs: 2 ", "min_epochs: 3 ", "log_every_n_steps: 4 ",
                           "max_steps: 5 ", "learning_rate: 0.25", "IrisDataModule"}) {
    EXPECT_NE(ended.out.find(line), std::string::npos) << line << ended.out;
  }
  set("LEVIN_TRAINER__MAX_EPOCS", "3");
  const auto refused = run({"fit", "--print-config"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(says(refused.err, {"LEVIN_TRAINER__MAX_EPOCS", "did you mean 'max_epochs'?"}));
  EXPECT_EQ(run({"list"}).status, 0) << "it has no settings";
}

}  // namespace levin::environment_test
