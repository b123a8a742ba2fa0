#include <levin/cli/config_schema.h>

#include <levin/framework/config/job.h>
#include <levin/framework/core/error.h>

#include "cli/program.h"
#include "framework/python.h"

namespace levin::test::config_schema_test {

class ConfigSchema : public ProgramTest {
 protected:
  /// What jsonschema says of each file, or of nothing if Python lacks it.
  Value mistakes(const std::vector<std::string>& files) const {
    const Outcome schema = run({"schema"});
    EXPECT_EQ(schema.status, 0) << schema.err;
    write("levin.schema.json", schema.out);
    std::vector<std::string> arguments = {(folder_ / "levin.schema.json").string()};
    arguments.insert(arguments.end(), files.begin(), files.end());
    const auto checked = run_python("schema_check.py", arguments);
    if (checked.status == 77) return {};
    EXPECT_EQ(checked.status, 0) << checked.output;
    return Value::from_json(checked.output);
  }
  std::string file(const std::string& name, const std::string& text) const {
    write(name, text);
    return (folder_ / name).string();
  }
  static bool levin_takes(const std::string& path) {
    try {
      read_job(shipped_classes(), read_configuration({path}, {}));
      return true;
    } catch (const ConfigError&) {
      return false;
    }
  }
};

TEST_F(ConfigSchema, takes_what_levin_takes_and_refuses_what_it_refuses) {
  std::vector<std::string> right;
  for (const auto& entry : fs::directory_iterator(LEVIN_SOURCE_DIR "/examples/configs")) {
    right.push_back(entry.path().string());
  }
  ASSERT_GT(right.size(), 5U);
  int number = 0;
  for (const char* text : {
           "model: MLP",
           "model: {class_path: levin.MLP, hidden_sizes: [3, 4]}",
           "model: {class_path: LogisticRegression, init_args: {hidden_sizes: [3]}}",
           "trainer: {max_epochs: null, devices: [0, 1], limit_val_batches: 0.5, precision: 16}",
           "trainer: {callbacks: Timer, logger: true, fast_dev_run: 3, max_time: '00:01:00:00'}",
           "trainer: {callbacks: [{class_path: EarlyStopping, monitor: a, patience: 3}, Timer]}",
           "trainer: {logger: [CsvLogger, {class_path: TensorBoardLogger}]}",
           "optimizer: {class_path: torch.optim.Adam, learning_rate: 3e-4,\n"
           "            groups: [{names: '*.bias', weight_decay: 0}]}",
           "optimizer: SGD\n"
           "lr_scheduler: {class_path: StepLR, step_size: 3, interval: step, frequency: 2}",
           "seed_everything: true\nckpt_path: best",
           "model: {class_path: MLP, metrics: [f1, {name: fbeta, beta: 2}]}",
           "data: IrisDataModule\nlinks: {data.seed: seed_everything}",
           "",
       }) {
    right.push_back(file("right" + std::to_string(number++) + ".yaml", text));
  }
  std::vector<std::string> wrong;
  for (const char* text : {
           "trianer: {}",
           "trainer: {max_epoch: 3}",
           "trainer: {max_epochs: three}",
           "trainer: {callbacks: [Timr]}",
           "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {patient: 3}}]}",
           "trainer: {logger: 3}",
           "model: Mlp",
           "model: {class_path: MLP, init_args: {hidden_size: [3]}}",
           "model: {class_path: MLP, hidden_sizes: [a]}",
           "model: {class_path: MLP, init_args: {learning_rate: fast}}",
           "data: {class_path: MNISTDataModule, init_args: {batch_size: 1.5}}",
           "optimizer: {class_path: Adam, groups: [{name: '*.bias'}]}",
           "optimizer: SGD\nlr_scheduler: {class_path: StepLR, step_size: 3, interval: batch}",
           "seed_everything: -1",
           "seed_everything: one",
           "links: [a, b]",
       }) {
    wrong.push_back(file("wrong" + std::to_string(number++) + ".yaml", text));
  }
  std::vector<std::string> all = right;
  all.insert(all.end(), wrong.begin(), wrong.end());
  const Value found = mistakes(all);
  if (found.is_null()) GTEST_SKIP() << "no Python with jsonschema and PyYAML";
  for (const auto& path : right) {
    EXPECT_TRUE(found.at(path).is_null()) << path << ": " << found.at(path).to_json();
    EXPECT_TRUE(levin_takes(path)) << path << ": " << read_file(path);
  }
  for (const auto& path : wrong) {
    EXPECT_FALSE(found.at(path).is_null()) << read_file(path);
    EXPECT_FALSE(levin_takes(path)) << read_file(path);
  }
}

TEST_F(ConfigSchema, takes_every_default_and_files_that_leave_the_class_to_others) {
  std::vector<std::string> files = {
      file("part.yaml", "model: {hidden_sizes: [3]}\noptimizer: {init_args: {momentum: 0.5}}")};
  const Registry classes = shipped_classes();
  const auto add = [&](const std::string& key, const auto& list) {
    for (const auto& entry : list.entries()) {
      const auto draft = entry.draft();
      const Value node =
          Value::Object{{"class_path", entry.name}, {"init_args", to_value(draft.fields)}};
      const bool is_trainers = key == "callbacks" || key == "logger";
      const Value root = is_trainers
                             ? Value::Object{{"trainer", Value::Object{{key, Value::Array{node}}}}}
                             : Value::Object{{key, node}};
      files.push_back(file(key + entry.name + ".yaml", root.to_yaml()));
    }
  };
  add("model", classes.models);
  add("data", classes.datamodules);
  add("callbacks", classes.callbacks);
  add("logger", classes.loggers);
  add("optimizer", classes.optimizers);
  add("lr_scheduler", classes.schedulers);
  write("whole.yaml", to_yaml(read_job(classes, {}), classes, true));
  files.push_back((folder_ / "whole.yaml").string());
  const Value found = mistakes(files);
  if (found.is_null()) GTEST_SKIP() << "no Python with jsonschema and PyYAML";
  for (const auto& [path, mistake] : found.as_object()) {
    EXPECT_TRUE(mistake.is_null()) << path << ": " << mistake.to_json();
  }
  EXPECT_EQ(found.as_object().size(), files.size());
}

TEST_F(ConfigSchema, has_the_classes_of_a_registry_with_their_help_and_defaults) {
  Registry classes;
  classes.models = shipped_classes().models;
  const Value schema = Value::from_json(config_schema(classes));
  const Value& rate = schema.at("definitions").at("model.MLP").at("properties").at("learning_rate");
  EXPECT_EQ(rate.at("type"), Value("number"));
  EXPECT_TRUE(rate.at("default").is_double());
  EXPECT_FALSE(rate.at("description").as_string().empty());
  EXPECT_FALSE(schema.at("definitions").contains("data.IrisDataModule"));
}

}  // namespace levin::test::config_schema_test
