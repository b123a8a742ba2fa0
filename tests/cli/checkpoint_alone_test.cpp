#include <torch/types.h>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/framework/checkpoint/checkpoint.h>
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

TEST_F(CheckpointAlone, a_model_that_is_named_wins) {
  expect_error({"predict", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule", "--model",
                "LogisticRegression", "--model.in_features=4", "--model.num_classes=3"},
               1, "'best.ckpt': the state for this module doesn't fit");
}

TEST_F(CheckpointAlone, says_what_is_missing) {
  const auto before = contents();
  expect_error({"predict", "--data", "IrisDataModule"}, 2, "give --ckpt-path FILE");
  expect_error({"predict", "--ckpt-path", "best.ckpt"}, 2, "no data is named");
  expect_error({"fit", "--ckpt-path", "best.ckpt", "--data", "IrisDataModule"}, 2,
               "no model is named");
  expect_error({"test", "--ckpt-path", "nowhere.ckpt", "--data", "IrisDataModule"}, 1,
               "nowhere.ckpt");
  EXPECT_EQ(contents(), before);

  save_checkpoint(folder_ / "foreign.safetensors", MLP(model_options()).state_dict());
  expect_error({"predict", "--ckpt-path", "foreign.safetensors", "--data", "IrisDataModule"}, 1,
               "can't make the module of 'foreign.safetensors': it doesn't say which class");
}

TEST_F(CheckpointAlone, the_classes_of_the_data_must_be_those_of_training) {
  write("two.csv", "5.1,3.5,1.4,0.2,setosa\n6.3,3.3,6.0,2.5,virginica\n5.8,2.7,5.1,1.9,setosa\n");
  expect_error({"test", "--ckpt-path", "best.ckpt", "--data", "ArrayDataModule", "--data.x=two.csv",
                "--data.test_split=0.5", "--data.val_split=0"},
               1, "the classes setosa, versicolor, virginica");
}

}  // namespace levin::test::checkpoint_alone_test
