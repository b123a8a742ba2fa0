#include <levin/framework/config/merge.h>

#include <gtest/gtest.h>

#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>

namespace levin::merge_test {

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << "\n  lacks: " << part;
}

ConfigNode read(const std::string& text, const std::string& file = "job.yaml") {
  ConfigNode root = parse_yaml(text, file);
  normalise(root);
  return root;
}

Override set(const std::string& path, const std::string& value, bool append = false) {
  return {path, parse_argument(value), append};
}

Value json(const std::string& text) { return Value::from_json(text); }

std::string error_of(ConfigNode root, const Override& override) {
  try {
    apply(root, override);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ConfigMerge, every_way_to_name_a_class_has_one_shape) {
  const Value expected =
      json(R"({"model": {"class_path": "MLP", "init_args": {"hidden_sizes": [32]}}})");
  EXPECT_EQ(read("model: {class_path: MLP, init_args: {hidden_sizes: [32]}}").plain(), expected);
  EXPECT_EQ(read("model: {class_path: MLP, hidden_sizes: [32]}").plain(), expected);
  EXPECT_EQ(read("model: MLP").plain(), json(R"({"model": {"class_path": "MLP"}})"));
}

TEST(ConfigMerge, a_single_callback_becomes_a_list_and_a_switched_logger_stays) {
  EXPECT_EQ(read("trainer: {callbacks: Timer, logger: false}").plain(),
            json(R"({"trainer": {"callbacks": [{"class_path": "Timer"}], "logger": false}})"));
}

TEST(ConfigMerge, the_schedulers_own_keys_may_be_inside_or_beside) {
  const Value expected = json(
      R"({"lr_scheduler": {"class_path": "StepLR", "init_args": {"step_size": 3}, "interval": "step"}})");
  EXPECT_EQ(read("lr_scheduler: {class_path: StepLR, interval: step, step_size: 3}").plain(),
            expected);
  EXPECT_EQ(
      read("lr_scheduler: {class_path: StepLR, init_args: {interval: step, step_size: 3}}").plain(),
      expected);
}

TEST(ConfigMerge, later_files_win_member_by_member) {
  ConfigNode base = read("trainer: {max_epochs: 1, max_steps: 7}\nseed_everything: 1", "a.yaml");
  merge(base, read("trainer:\n  max_epochs: 2", "b.yaml"));
  EXPECT_EQ(base.plain(),
            json(R"({"seed_everything": 1, "trainer": {"max_epochs": 2, "max_steps": 7}})"));
  EXPECT_EQ(base.find("trainer")->find("max_epochs")->origin.to_string(), "b.yaml:2");
  EXPECT_EQ(base.find("trainer")->find("max_steps")->origin.to_string(), "a.yaml:1");
}

TEST(ConfigMerge, lists_are_replaced_as_a_whole) {
  ConfigNode base = read("trainer: {callbacks: [Timer, EarlyStopping]}");
  merge(base, read("trainer: {callbacks: [ProgressBar]}"));
  EXPECT_EQ(base.find("trainer")->find("callbacks")->items.size(), 1U);
}

TEST(ConfigMerge, settings_of_a_swapped_class_stay) {
  ConfigNode root = read("model: {class_path: LogisticRegression, in_features: 4, bias: false}");
  apply(root, set("model", "MLP"));
  apply(root, set("model.bias", "true"));
  const ConfigNode& args = *root.find("model")->find("init_args");
  EXPECT_EQ(root.find("model")->find("class_path")->text, "MLP");
  EXPECT_EQ(args.plain(), json(R"({"in_features": 4, "bias": true})"));
}

TEST(ConfigMerge, overrides_reach_settings_with_and_without_init_args) {
  ConfigNode root = read("model: MLP");
  apply(root, set("model.init_args.hidden_sizes", "[32,16]"));
  apply(root, set("model.learning_rate", "0.1"));
  apply(root, set("optimizer", "Adam"));
  apply(root, set("optimizer.learning_rate", "0.01"));
  EXPECT_EQ(root.plain(), json(R"({"model": {"class_path": "MLP",
      "init_args": {"hidden_sizes": [32, 16], "learning_rate": 0.1}},
      "optimizer": {"class_path": "Adam", "init_args": {"learning_rate": 0.01}}})"));
  EXPECT_EQ(root.find("optimizer")->origin.to_string(), "command line");
}

TEST(ConfigMerge, an_override_of_a_files_setting_is_the_command_lines) {
  ConfigNode root = read("model: {class_path: MLP, in_features: 4}");
  apply(root, set("model.in_features", "5"));
  const ConfigMember& member = root.find("model")->find("init_args")->members[0];
  EXPECT_EQ(member.origin.to_string(), "command line");
  EXPECT_EQ(member.value.plain(), Value(5));
}

TEST(ConfigMerge, the_text_of_an_override_is_that_of_the_last_one) {
  ConfigNode root = read("trainer: {callbacks: [{class_path: Watch}]}");
  const auto name = [&] {
    return root.find("trainer")->find("callbacks")->items[0].find("init_args")->find("filename");
  };
  apply(root, set("trainer.callbacks.filename", "{epoch}"));
  EXPECT_EQ(name()->text, "{epoch}");
  apply(root, set("trainer.callbacks.filename", "{step}"));
  EXPECT_EQ(name()->text, "{step}");
  apply(root, set("trainer.callbacks.filename.x", "1"));
  EXPECT_EQ(name()->text, "");
}

TEST(ConfigMerge, callbacks_are_appended_and_set_one_after_another) {
  ConfigNode root = ConfigNode::null({});
  apply(root, set("trainer.callbacks", "EarlyStopping", true));
  apply(root, set("trainer.callbacks.monitor", "val_loss"));
  apply(root, set("trainer.callbacks", "Timer", true));
  apply(root, set("trainer.callbacks.duration", "00:00:01:00"));
  apply(root, set("trainer.callbacks.0.patience", "5"));
  EXPECT_EQ(root.find("trainer")->find("callbacks")->plain(), json(R"([
      {"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss", "patience": 5}},
      {"class_path": "Timer", "init_args": {"duration": "00:00:01:00"}}])"));
}

TEST(ConfigMerge, appending_to_a_switched_logger_makes_a_list) {
  ConfigNode root = read("trainer: {logger: true}");
  apply(root, set("trainer.logger", "ConsoleLogger", true));
  EXPECT_EQ(root.find("trainer")->find("logger")->plain(),
            json(R"([{"class_path": "ConsoleLogger"}])"));
}

TEST(ConfigMerge, a_path_that_leads_nowhere_is_refused) {
  expect_contains(error_of(read("trainer: {max_epochs: 3}"), set("trainer.max_epochs.now", "1")),
                  "'trainer.max_epochs' is a value without settings");
  expect_contains(error_of(read("trainer: {}"), set("trainer.callbacks.monitor", "val_loss")),
                  "there is no callback yet");
  expect_contains(
      error_of(read("trainer: {callbacks: [Timer]}"), set("trainer.callbacks.3.x", "1")),
      "has only 1 items");
  expect_contains(error_of(read("model: MLP"), set("model..x", "1")), "an empty name");
}

}  // namespace levin::merge_test
