#include <torch/types.h>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/cli/checkpoint_settings.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

#include "cli/program.h"

// A checkpoint is all it takes to predict, test and validate: no configuration, no model.

namespace levin::test::checkpoint_alone_test {

MLPOptions model_options() {
  return {.in_features = 4, .num_classes = 3, .hidden_sizes = {6, 5}, .activation = "tanh"};
}

class CheckpointAlone : public ProgramTest {
 protected:
  /// Trains an MLP on Iris elsewhere and leaves its checkpoint, `best.ckpt`, as the only file here.
  CheckpointAlone() {
    MLP model(model_options());
    IrisDataModule data;
    Trainer trainer = quiet_trainer();
    trainer.fit(model, data);
    trainer.save_checkpoint(folder_ / "best.ckpt");
    predicted_ = trainer.predict(model, data);
    tested_ = trainer.test(model, data);
  }
  Trainer quiet_trainer() const {
    return Trainer({.accelerator = "cpu",
                    .max_epochs = 3,
                    .default_root_dir = (output_folder() / "trainer").string()});
  }
  std::vector<int64_t> classes_in(const std::string& file) const {
    const auto array = readers::read_npz((folder_ / file).string(), "class");
    const auto values = array.values<int64_t>();
    return {values.begin(), values.end()};
  }
  torch::Tensor probabilities_in(const std::string& file) const {
    const auto array = readers::read_npz((folder_ / file).string(), "probability");
    const auto values = array.values<float>();
    return torch::tensor(std::vector<float>(values.begin(), values.end())).view(array.shape);
  }
  std::vector<int64_t> expected_classes() const {
    const auto& classes = predicted_[0].second;
    const auto* values = classes.const_data_ptr<int64_t>();
    return {values, values + classes.numel()};
  }

  NamedTensors predicted_;
  MetricMap tested_;
};

TEST_F(CheckpointAlone, predicts_the_classes_that_the_trainer_predicts) {
  ASSERT_EQ(contents(), std::vector<std::string>{"best.ckpt"});
  const Outcome predict = run({"predict", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule",
                               "--output", "p.npz", "--json"});
  ASSERT_EQ(predict.status, 0) << predict.err;
  EXPECT_EQ(predict.json().at("shapes").at("probability"), Value(Value::Array{150, 3}));
  EXPECT_EQ(classes_in("p.npz"), expected_classes());
}

TEST_F(CheckpointAlone, predicts_the_rows_of_a_file) {
  IrisDataModule data;
  data.setup(Stage::predict);
  auto reader = data.predict_dataloader().front().open();
  std::string csv = "sepal_length,sepal_width,petal_length,petal_width\n";
  for (Batch batch; reader.next(batch);) {
    for (int64_t row = 0; row < batch.rows(); ++row) {
      for (int64_t column = 0; column < 4; ++column) {
        csv += std::to_string(batch.input()[row][column].item<float>());
        csv += column < 3 ? ',' : '\n';
      }
    }
  }
  write("new.csv", csv);
  const Outcome predict =
      run({"predict", "--ckpt-path", "best.ckpt", "--data", "ArrayDataModule", "--data.x=new.csv",
           "--data.target_column=none", "--output", "p.npz"});
  ASSERT_EQ(predict.status, 0) << predict.err;
  EXPECT_EQ(classes_in("p.npz"), expected_classes());
}

TEST_F(CheckpointAlone, tests_and_validates) {
  const Outcome test =
      run({"test", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule", "--json"});
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_EQ(test.json().at("test_acc").as_double(), tested_.at("test_acc"));
  EXPECT_NEAR(test.json().at("test_loss").as_double(), tested_.at("test_loss"), 1e-6);
  const Outcome validate =
      run({"validate", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule", "--json"});
  ASSERT_EQ(validate.status, 0) << validate.err;
  EXPECT_TRUE(validate.json().contains("val_acc"));
}

TEST_F(CheckpointAlone, last_and_best_are_found_without_a_configuration) {
  auto options = model_options();
  options.learning_rate = 0.02;
  MLP model(options);
  IrisDataModule data;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 3, .default_root_dir = folder_.string()});
  // The loss falls, so the one that counts as the best here isn't the last one.
  trainer.add<ModelCheckpoint>({.monitor = "val_loss", .save_last = true, .mode = "max"});
  trainer.fit(model, data);
  const auto best = trainer.predict(model, data, "best")[1].second;  // probabilities
  const auto last = trainer.predict(model, data, "last")[1].second;
  ASSERT_FALSE(torch::allclose(best, last, 0.0, 1e-3));
  for (const auto& [name, expected] : {std::pair("best", best), std::pair("last", last)}) {
    const Outcome predict =
        run({"predict", "--ckpt-path", name, "--data", "IrisDataModule", "--output", "p.npz"});
    ASSERT_EQ(predict.status, 0) << predict.err;
    EXPECT_TRUE(torch::allclose(probabilities_in("p.npz"), expected, 0.0, 1e-6)) << name;
  }
}

TEST_F(CheckpointAlone, settings_without_a_class_change_those_of_the_checkpoint) {
  const Outcome test = run({"test", "--ckpt-path", "best.ckpt", "--data.batch_size=7",
                            "--model.metrics=[f1]", "--json"});
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_EQ(test.json().at("test_acc").as_double(), tested_.at("test_acc"));
  EXPECT_TRUE(test.json().contains("test_f1")) << test.out;
  EXPECT_NE(test.err.find("has: model.metrics = [\"f1\"] ([])."), std::string::npos) << test.err;
  const Outcome shown = run({"test", "--ckpt-path", "best.ckpt", "--data.batch_size=7",
                             "--model.metrics=[f1]", "--print-config"});
  for (const char* line : {"class_path: MLP", "activation: tanh", "hidden_sizes: [6, 5]",
                           "class_path: IrisDataModule", "batch_size: 7 "}) {
    EXPECT_NE(shown.out.find(line), std::string::npos) << line << "\n" << shown.out;
  }
}

TEST_F(CheckpointAlone, a_model_of_the_same_class_gets_the_settings_that_are_not_given) {
  write("mlp.yaml", "model: {class_path: MLP, init_args: {learning_rate: 0.5}}\n");
  const Outcome test = run({"test", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule",
                            "--config", "mlp.yaml", "--json"});
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_EQ(test.json().at("test_acc").as_double(), tested_.at("test_acc"));
  EXPECT_NE(test.err.find("those of a model with other settings"), std::string::npos) << test.err;
  EXPECT_NE(test.err.find("has: model.learning_rate = 0.5 ("), std::string::npos) << test.err;
}

TEST_F(CheckpointAlone, a_fit_goes_on_with_the_model_and_its_settings) {
  const Outcome fit = run({"fit", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule",
                           "--trainer.max_epochs=4", "--json"});
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_EQ(fit.json().at("epochs"), Value(4)) << "with the three that were done before";
  const std::string taken = "hidden_sizes = [6,5], activation = \"tanh\", as in 'best.ckpt'\n";
  EXPECT_NE(fit.err.find(taken), std::string::npos) << fit.err;
  const std::string config =
      read_file(folder_ / fit.json().at("log_dir").as_string() / "config.yaml");
  for (const char* line : {"class_path: MLP", "activation: tanh", "hidden_sizes: [6, 5]"}) {
    EXPECT_NE(config.find(line), std::string::npos) << line << "\n" << config;
  }
}

TEST_F(CheckpointAlone, a_fit_with_settings_of_its_own_takes_the_others) {
  write("mlp.yaml",
        "model: {class_path: MLP, init_args: {learning_rate: 0.5}}\n"
        "data: IrisDataModule\n");
  const Outcome shown = run({"fit", "--config", "mlp.yaml", "--ckpt-path", "best.ckpt",
                             "--model.metrics=[f1]", "--print-config"});
  ASSERT_EQ(shown.status, 0) << shown.err;
  for (const char* line :
       {"learning_rate: 0.5 ", "metrics: [f1] ", "activation: tanh ", "hidden_sizes: [6, 5] "}) {
    EXPECT_NE(shown.out.find(line), std::string::npos) << line << "\n" << shown.out;
  }
  EXPECT_NE(shown.err.find("model: MLP with "), std::string::npos) << shown.err;
  EXPECT_EQ(shown.err.find("learning_rate"), std::string::npos) << "it is given: " << shown.err;
  write("whole.yaml", shown.out);
  const Outcome again = run({"fit", "--config", "whole.yaml", "--print-config"});
  EXPECT_EQ(again.out, shown.out);
  EXPECT_EQ(again.err, "") << "nothing was taken: all settings are given";
}

TEST_F(CheckpointAlone, a_fit_of_another_class_is_refused) {
  write("other.yaml", "data: IrisDataModule\nmodel: LogisticRegression\n");
  const auto before = contents();
  expect_error({"fit", "--config", "other.yaml", "--ckpt-path", "best.ckpt"}, 2,
               "other.yaml:2: model: the class is LogisticRegression, but fit goes on from "
               "'best.ckpt', a checkpoint of MLP; name MLP (or leave out `model`), or leave out "
               "ckpt_path to train from the beginning");
  EXPECT_EQ(contents(), before);
}

TEST_F(CheckpointAlone, a_link_sets_its_target_and_not_the_checkpoint) {
  const Outcome test = run({"test", "--ckpt-path", "best.ckpt", "--data.batch_size=7", "--model",
                            "MLP", "--links.model.learning_rate=trainer.limit_val_batches",
                            "--links.data.seed=data.batch_size", "--print-config"});
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_NE(test.out.find("activation: tanh "), std::string::npos) << test.out;
  EXPECT_NE(test.out.find("model.learning_rate: trainer.limit_val_batches"), std::string::npos);
  EXPECT_NE(test.out.find("data.seed: data.batch_size"), std::string::npos);
  EXPECT_NE(test.out.find("# now 7"), std::string::npos) << test.out;
}

TEST_F(CheckpointAlone, a_link_of_the_program_counts_only_if_its_settings_are_there) {
  Registry classes = shipped_classes();
  classes.link_arguments("data.seed", "model.learning_rate");
  const auto filled = [&](const std::vector<Override>& overrides) {
    ConfigNode root = read_configuration({}, overrides);
    take_checkpoint_settings(root, classes);
    return *root.find("model")->find("init_args");
  };
  const Override from{"ckpt_path", parse_argument((folder_ / "best.ckpt").string())};
  const Override model{"model", parse_argument("MLP")};
  const Override data{"data", parse_argument("IrisDataModule")};
  const Override no_link{"links.model.learning_rate", parse_argument("null")};
  const double saved = MLPOptions{}.learning_rate;
  EXPECT_EQ(filled({from, model}).find("learning_rate")->plain(), Value(saved)) << "no data";
  EXPECT_EQ(filled({from, model, data}).find("learning_rate"), nullptr) << "the link sets it";
  EXPECT_EQ(filled({from, model, data}).find("activation")->plain(), Value("tanh"));
  EXPECT_EQ(filled({from, model, data, no_link}).find("learning_rate")->plain(), Value(saved));
  classes.link_arguments("trainer.callbacks.Timer.interval", "model.activation");
  EXPECT_EQ(filled({from, model, data}).find("activation")->plain(), Value("tanh")) << "no Timer";
}

TEST_F(CheckpointAlone, a_model_that_is_named_wins) {
  expect_error({"predict", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule", "--model",
                "LogisticRegression", "--model.in_features=4", "--model.num_classes=3"},
               1, "'best.ckpt': the state for this module doesn't fit");
}

TEST_F(CheckpointAlone, says_what_is_missing) {
  const auto before = contents();
  expect_error({"predict", "--data", "IrisDataModule"}, 2, "give --ckpt-path FILE");
  expect_error({"predict", "--ckpt-path", "best.ckpt"}, 2, "no data is named");
  expect_error({"fit", "--data", "IrisDataModule"}, 2, "no model is named");
  expect_error({"fit", "--ckpt-path", "best.ckpt"}, 2, "no data is named");
  expect_error({"fit", "--ckpt-path", "nowhere.ckpt", "--data", "IrisDataModule"}, 1,
               "nowhere.ckpt");
  expect_error({"test", "--ckpt-path", "nowhere.ckpt", "--data", "IrisDataModule"}, 1,
               "nowhere.ckpt");
  expect_error({"test", "--ckpt-path", "nowhere.ckpt", "--data.batch_size=7"}, 1, "nowhere.ckpt");
  expect_error(
      {"test", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule", "--model.metrcs=[f1]"}, 2,
      "command line: model: unknown key 'metrcs'; did you mean 'metrics'?");
  EXPECT_EQ(contents(), before);

  save_checkpoint(folder_ / "foreign.safetensors", MLP(model_options()).state_dict());
  expect_error({"predict", "--ckpt-path", "foreign.safetensors", "--data", "IrisDataModule"}, 1,
               "can't make the module of 'foreign.safetensors': it doesn't say which class");
  expect_error({"fit", "--ckpt-path", "foreign.safetensors", "--data", "IrisDataModule"}, 1,
               "model: the settings have no class, and 'foreign.safetensors' doesn't say which one "
               "it was; add --model CLASS");
  expect_error({"predict", "--ckpt-path", "foreign.safetensors", "--data.batch_size=7"}, 1,
               "command line: data: the settings have no class, and 'foreign.safetensors' doesn't "
               "say which one it was; add --data CLASS");
}

TEST_F(CheckpointAlone, the_classes_of_the_data_must_be_among_those_of_training) {
  write("two.csv", "5.1,3.5,1.4,0.2,setosa\n6.3,3.3,6.0,2.5,virginica\n5.8,2.7,5.1,1.9,setosa\n");
  const std::vector<std::string> test = {"test",   "--ckpt-path",     "best.ckpt",
                                         "--data", "ArrayDataModule", "--data.x_test=two.csv",
                                         "--json"};
  const Outcome known = run(test);
  ASSERT_EQ(known.status, 0) << known.err;
  write("two.csv", "5.1,3.5,1.4,0.2,setosa\n6.3,3.3,6.0,2.5,lily\n5.8,2.7,5.1,1.9,setosa\n");
  expect_error(test, 1, "two.csv (y_test) has the class 'lily'");
}

/// Three kinds that differ in one number, and a configuration that learns to tell them apart.
class LearnedClasses : public ProgramTest {
 protected:
  LearnedClasses() {
    write("t.csv", rows({"ant", "bee", "cat"}));
    write("u.csv", rows({"ant", "cat"}));
    write("more.csv", rows({"ant", "cat", "ant", "cat"}));
    write("j.yaml", R"(
seed_everything: 3
trainer: {max_epochs: 60, accelerator: cpu, default_root_dir: rj}
model: {class_path: LogisticRegression, init_args: {in_features: 1, num_classes: 3, learning_rate: 0.1}}
data: {class_path: ArrayDataModule, init_args: {x: t.csv}}
)");
    const Outcome fit = run({"fit", "-c", "j.yaml"});
    EXPECT_EQ(fit.status, 0) << fit.err;
  }
  /// 60 rows of each kind: ants around -3, bees around 0, cats around 3.
  static std::string rows(const std::vector<std::string>& kinds) {
    std::string text = "a,kind\n";
    for (const auto& kind : kinds) {
      const double centre = kind == "ant" ? -3.0 : kind == "bee" ? 0.0 : 3.0;
      for (int i = 0; i < 60; ++i) {
        text += std::to_string(centre + 0.01 * (i - 30)) + "," + kind + "\n";
      }
    }
    return text;
  }
  std::vector<std::string> with_checkpoint(const std::string& command,
                                           const std::vector<std::string>& more) const {
    std::vector<std::string> words = {command, "-c", "j.yaml", "--ckpt-path", "last"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(LearnedClasses, data_that_lack_a_class_are_tested_with_the_numbers_of_training) {
  const Outcome split =
      run(with_checkpoint("test", {"--data.x=u.csv", "--data.test_split=0.8", "--json"}));
  ASSERT_EQ(split.status, 0) << split.err;
  EXPECT_EQ(split.json().at("test_acc").as_double(), 1.0);
  // The same rows without a split, and without the training data.
  const Outcome whole = run({"test", "--ckpt-path", "last", "--data", "ArrayDataModule",
                             "--data.x_test=u.csv", "--trainer.default_root_dir=rj", "--json"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_EQ(whole.json().at("test_acc").as_double(), 1.0);
  const Outcome validate = run(with_checkpoint("validate", {"--data.x_val=u.csv", "--json"}));
  ASSERT_EQ(validate.status, 0) << validate.err;
  EXPECT_EQ(validate.json().at("val_acc").as_double(), 1.0);
}

TEST_F(LearnedClasses, a_resumed_fit_keeps_the_numbers_of_training) {
  const Outcome fit =
      run(with_checkpoint("fit", {"--data.x=more.csv", "--trainer.max_epochs=61", "--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_EQ(fit.json().at("val_acc").as_double(), 1.0);
  const Outcome predict = run(with_checkpoint("predict", {"--data.x=t.csv", "--output", "p.csv"}));
  ASSERT_EQ(predict.status, 0) << predict.err;
  EXPECT_EQ(lines_of(read_file(folder_ / "p.csv")).front(),
            "class,class_name,probability_ant,probability_bee,probability_cat");
}

TEST_F(LearnedClasses, predictions_have_the_names_of_the_classes) {
  write("new.csv", "a,kind\n2.9,dog\n-3.1,dog\n");
  const Outcome predict =
      run(with_checkpoint("predict", {"--data.x=new.csv", "--output", "p.csv"}));
  ASSERT_EQ(predict.status, 0) << predict.err;
  const auto lines = lines_of(read_file(folder_ / "p.csv"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "class,class_name,probability_ant,probability_bee,probability_cat");
  EXPECT_EQ(lines[1].substr(0, 6), "2,cat,");
  EXPECT_EQ(lines[2].substr(0, 6), "0,ant,");
}

}  // namespace levin::test::checkpoint_alone_test
