#include <torch/types.h>

#include <levin/datamodules/iris.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "cli/program.h"
#include "framework/python.h"

// `levin export`, and jobs whose --ckpt-path is a file of PyTorch or Lightning.

namespace levin::test::export_test {

class ExportProgram : public ProgramTest {
 protected:
  /// Trains a logistic regression on standardised rows and leaves `best.ckpt` here.
  ExportProgram() : model_({.learning_rate = 0.1}), data_({.standardize = true}) {
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 2,
                     .default_root_dir = (output_folder() / "trainer").string()});
    trainer.fit(model_, data_);
    trainer.save_checkpoint(folder_ / "best.ckpt");
  }

  Outcome exported(const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"export", "best.ckpt", "--output", output, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome;
  }

  LogisticRegression model_;
  IrisDataModule data_;
};

TEST_F(ExportProgram, writes_the_weights_for_pytorch_lightning_and_safetensors) {
  const StateDict trained = model_.state_dict();
  for (const char* name : {"w.pt", "w.safetensors", "l.ckpt"}) {
    const Outcome outcome = exported(name);
    EXPECT_EQ(outcome.json().at("class"), Value("LogisticRegression"));
    EXPECT_EQ(outcome.json().at("tensors"), Value(2));
    EXPECT_NE(outcome.err.find("the model takes standardised features"), std::string::npos);
    const StateDict read = load_checkpoint(folder_ / name);
    EXPECT_FALSE(is_whole_checkpoint(read));
    const StateDict weights = module_weights(read);
    ASSERT_EQ(weights.tensors.size(), 2U) << name;
    for (const auto& [key, tensor] : trained.tensors) {
      EXPECT_TRUE(weights.tensor(key).equal(tensor)) << name << " " << key;
    }
  }
  const Value lightning = load_checkpoint(folder_ / "l.ckpt").values.at("torch");
  EXPECT_EQ(lightning.at("hyper_parameters"), model_.hyper_parameters());
  EXPECT_EQ(lightning.at("epoch"), Value(2));
  exported("any.bin", {"--format", "pt"});
  EXPECT_EQ(read_file(folder_ / "any.bin"), read_file(folder_ / "w.pt"));
}

TEST_F(ExportProgram, onnxruntime_takes_rows_that_are_not_standardised) {
  fs::create_directory(folder_ / "onnx");
  const Outcome outcome = exported("onnx/m.onnx");
  EXPECT_EQ(outcome.err.find("standardised"), std::string::npos) << outcome.err;
  // The rows of Iris as they are: the graph standardises them.
  write("onnx/m.json", "[[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]");
  const auto ran = run_python("onnx_run.py", {(folder_ / "onnx").string()});
  if (ran.status == 77) GTEST_SKIP() << "no Python with onnx, onnxruntime and numpy";
  ASSERT_EQ(ran.status, 0) << ran.output;
  const auto module = load_module(shipped_classes(), folder_ / "best.ckpt");
  const StateDict fitted = fitted_state(load_checkpoint(folder_ / "best.ckpt"));
  const auto rows = torch::tensor({{5.1, 3.5, 1.4, 0.2}, {6.3, 3.3, 6.0, 2.5}});
  const auto standardized = (rows.to(torch::kDouble) - fitted.tensor("standardize.mean")) /
                            fitted.tensor("standardize.deviation");
  const auto expected = module->predict(Batch({{"input", standardized.to(torch::kFloat)}}));
  const auto& found = Value::from_json(ran.output).at("m").at("probability").as_array();
  for (size_t row = 0; row < 2; ++row) {
    for (size_t column = 0; column < 3; ++column) {
      EXPECT_NEAR(found[row].as_array()[column].as_double(),
                  expected[1]
                      .second[static_cast<int64_t>(row)][static_cast<int64_t>(column)]
                      .item<double>(),
                  1e-6);
    }
  }
}

TEST_F(ExportProgram, jobs_take_files_of_pytorch_if_they_name_the_model) {
  exported("w.pt");
  const std::vector<std::string> test = {
      "test", "--data", "IrisDataModule", "--data.standardize=true", "--json", "--ckpt-path"};
  auto own = test, foreign = test;
  own.emplace_back("best.ckpt");
  for (const char* more : {"w.pt", "--model", "LogisticRegression", "--model.in_features=4",
                           "--model.num_classes=3"}) {
    foreign.emplace_back(more);
  }
  const Outcome expected = run(own);
  const Outcome outcome = run(foreign);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("test_acc"), expected.json().at("test_acc"));
  EXPECT_NEAR(outcome.json().at("test_loss").as_double(),
              expected.json().at("test_loss").as_double(), 1e-5);
  // The sizes are in Lightning's checkpoint.
  const std::string lightning =
      LEVIN_SOURCE_DIR "/tests/baselines/torch_files/logistic_regression.ckpt";
  const Outcome predicted = run({"predict", "--data", "IrisDataModule", "--ckpt-path", lightning,
                                 "--model", "LogisticRegression", "--output", "p.npz"});
  EXPECT_EQ(predicted.status, 0) << predicted.err;
  expect_error({"predict", "--data", "IrisDataModule", "--ckpt-path", "w.pt"}, 1,
               "doesn't say which class its module is of");
}

TEST_F(ExportProgram, says_what_is_wrong_and_writes_nothing) {
  const auto before = contents();
  expect_error({"export", "best.ckpt"}, 2, "no output is named");
  expect_error({"export", "best.ckpt", "-o", "a.onx"}, 2, "did you mean 'onnx'?");
  expect_error({"export", "best.ckpt", "-o", "a.pt", "--format", "torch"}, 2, "'torch'");
  expect_error({"export", "best.ckpt", "-o", "a.pt", "--fromat", "pt"}, 2, "--format");
  expect_error({"export", "best.ckpt", "-o", "best.ckpt"}, 2, "the checkpoint itself");
  expect_error({"export", "-o", "a.pt"}, 2, "takes one checkpoint");
  expect_error({"export", "gone.ckpt", "-o", "a.pt"}, 1, "gone.ckpt");
  expect_error({"export", LEVIN_SOURCE_DIR "/tests/baselines/torch_files/mlp.ckpt", "-o", "a.onnx"},
               1, "doesn't say which class");
  EXPECT_EQ(contents(), before);
}

}  // namespace levin::test::export_test
