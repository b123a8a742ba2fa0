#include <cmath>
#include <sstream>

#include "cli/program.h"

// The built `levin` on tables: values to predict, sizes that nobody gives, features that are
// standardised, and predictions from the checkpoint alone.

namespace levin::test::regression_test {

class Regression : public ProgramTest {
 protected:
  /// value = 3 a - 0.02 b + 10, for features of very different sizes.
  static double value(double a, double b) { return 3.0 * a - 0.02 * b + 10.0; }
  static std::string table(int rows, bool with_value) {
    std::ostringstream text;
    text << (with_value ? "a,b,price\n" : "b,a\n");
    for (int i = 0; i < rows; ++i) {
      const double a = std::sin(i);
      const double b = 1000.0 + 300.0 * std::cos(2.0 * i);
      if (with_value) {
        text << a << "," << b << "," << value(a, b) << "\n";
      } else {
        text << b << "," << a << "\n";
      }
    }
    return text.str();
  }
  Outcome fit(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"fit",
                                      "--config",
                                      LEVIN_SOURCE_DIR "/examples/configs/linear_regression.yaml",
                                      "--data.x=table.csv",
                                      "--model.l2_strength=0",
                                      "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
};

TEST_F(Regression, learns_a_table_and_predicts_values_from_the_checkpoint_alone) {
  write("table.csv", table(200, true));
  const Outcome fitted = fit();
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  EXPECT_GT(fitted.json().at("val_r2").as_double(), 0.99) << fitted.out;
  EXPECT_GT(fitted.json().at("val_mae").as_double(), 0.0);

  write("new.csv", table(30, false));  // other columns first, and no values
  const Outcome predicted = run({"predict", "--ckpt-path", "best", "--data", "ArrayDataModule",
                                 "--data.x_test=new.csv", "--output", "out.csv"});
  ASSERT_EQ(predicted.status, 0) << predicted.err;
  std::istringstream lines(read_file(folder_ / "out.csv"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_NE(line.find("value"), std::string::npos) << line;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    const double found =
        std::stod(line.substr(line.rfind(',') == std::string::npos ? 0 : line.rfind(',') + 1));
    EXPECT_NEAR(found, value(std::sin(i), 1000.0 + 300.0 * std::cos(2.0 * i)), 0.2) << line;
  }
}

TEST_F(Regression, of_two_ranks_finds_the_same_sizes_weights_and_metrics_as_one_process) {
  write("table.csv", table(203, true));
  std::vector<Outcome> runs;
  for (const auto& [devices, batch_size] : {std::pair("1", "16"), std::pair("2", "8")}) {
    runs.push_back(fit({"--trainer.max_epochs=3", "--trainer.accelerator=cpu",
                        std::string("--trainer.devices=") + devices,
                        std::string("--data.batch_size=") + batch_size}));
    ASSERT_EQ(runs.back().status, 0) << runs.back().err;
  }
  for (const char* name : {"val_loss", "val_mae", "val_r2"}) {
    const double one = runs[0].json().at(name).as_double();
    EXPECT_NEAR(runs[1].json().at(name).as_double(), one, 1e-4 * std::abs(one)) << name;
  }
}

TEST_F(Regression, of_groups_that_a_column_names_writes_the_names_beside_the_predictions) {
  std::ostringstream text;
  text << "id,region,area,price\n";
  for (int i = 0; i < 40; ++i) {
    text << i << (i % 2 == 0 ? ",north," : ",\"east, far\",") << i % 7 << ","
         << (i % 2 == 0 ? 2 : 5) * (i % 7) + 1 << "\n";
  }
  write("sales.csv", text.str());
  write("fit.yaml",
        "trainer: {max_epochs: 50}\n"
        "model:\n"
        "  class_path: ManyRegressions\n"
        "  init_args: {loss: squared}\n"
        "data:\n"
        "  class_path: TableDataModule\n"
        "  init_args: {x: sales.csv, target: price, target_type: value, key: id, group: region,\n"
        "              val_split: 0, test_split: 0}\n");
  const Outcome fitted = run({"fit", "--config", "fit.yaml"});
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  write("new.csv", "area,region,id\n10,north,a\n10,\"east, far\",b\n3,north,c\n");
  const Outcome predicted = run({"predict", "--ckpt-path", "last", "--data", "TableDataModule",
                                 "--data.x_test=new.csv", "--output", "out.csv"});
  ASSERT_EQ(predicted.status, 0) << predicted.err;
  std::istringstream lines(read_file(folder_ / "out.csv"));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "id,value,group,group_name");
  const std::pair<double, std::string> expected[] = {
      {21.0, "1,north"}, {51.0, "0,\"east, far\""}, {7.0, "1,north"}};
  for (const auto& [value, group] : expected) {
    ASSERT_TRUE(std::getline(lines, line));
    const size_t first = line.find(',') + 1;
    const size_t second = line.find(',', first);
    EXPECT_NEAR(std::stod(line.substr(first)), value, 1e-3) << line;
    EXPECT_EQ(line.substr(second + 1), group) << line;
  }
}

TEST_F(Regression, of_two_strengths_is_not_called_by_the_names_of_the_two_classes) {
  std::string text = "a,left\n";
  for (int i = 0; i < 30; ++i) text += std::to_string(i % 9) + (i % 2 == 0 ? ",yes\n" : ",no\n");
  write("left.csv", text);
  const Outcome fitted =
      run({"fit", "--model", "ManyRegressions", "--model.C=[1, 10]", "--data", "TableDataModule",
           "--data.x=left.csv", "--data.target=left", "--trainer.max_epochs=20"});
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  const Outcome predicted = run({"predict", "--ckpt-path", "last", "--data", "TableDataModule",
                                 "--data.x=left.csv", "--output", "out.csv"});
  ASSERT_EQ(predicted.status, 0) << predicted.err;
  const auto csv = read_file(folder_ / "out.csv");
  EXPECT_EQ(csv.substr(0, csv.find('\n')), "probability_0,probability_1");
}

// From text to a model in one command, one row after the other, and on from there.
TEST_F(Regression, learns_online_from_streamed_text_and_goes_on_from_the_checkpoint) {
  write("online.yaml",
        "model:\n"
        "  class_path: LogisticRegression\n"
        "  init_args: {num_classes: 2}\n"
        "optimizer:\n"
        "  class_path: OnlineAdagrad\n"
        "  init_args: {learning_rate: 0.1, l2_strength: 1.0e-7}\n"
        "data:\n"
        "  class_path: SparseDataModule\n"
        "  init_args: {train: [" LEVIN_SOURCE_DIR
        "/examples/data/clicks-train.svm], columns: 200, zero_based: false, stream: true}\n"
        "trainer:\n"
        "  callbacks: [{class_path: ProgressiveValidation}]\n");
  const Outcome first = run({"fit", "--config", "online.yaml", "--trainer.max_epochs=1", "--json"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_NE(first.err.find("counted"), std::string::npos) << first.err;
  const double loss = first.json().at("progressive_loss").as_double();
  EXPECT_LT(loss, std::log(2.0));
  const Outcome more = run({"fit", "--config", "online.yaml", "--trainer.max_epochs=2",
                            "--ckpt-path", "last", "--json"});
  ASSERT_EQ(more.status, 0) << more.err;
  EXPECT_LT(more.json().at("progressive_loss").as_double(), loss);
}

TEST_F(Regression, says_which_size_is_missing) {
  write("table.csv", table(60, true));
  expect_error({"fit", "--model", "LogisticRegression", "--data", "ArrayDataModule",
                "--data.x=table.csv", "--data.target_type=value"},
               2, "num_classes is neither given nor known from the training data");
}

TEST_F(Regression, finds_the_sizes_of_irises_and_takes_c_from_the_command_line) {
  const Outcome fitted =
      run({"fit", "--model", "LogisticRegression", "--model.C=1", "--model.learning_rate=0.05",
           "--model.class_weight=balanced", "--data", "IrisDataModule", "--data.standardize=true",
           "--trainer.max_epochs=40", "--json"});
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  EXPECT_GT(fitted.json().at("val_acc").as_double(), 0.8);
  expect_error({"fit", "--model", "LogisticRegression", "--model.C=0", "--data", "IrisDataModule"},
               2, "C = 0: must be above 0");
  const Outcome listed =
      run({"fit", "--model", "LogisticRegression", "--model.class_weight=[1, 2.5, 1]", "--data",
           "IrisDataModule", "--trainer.fast_dev_run=true"});
  EXPECT_EQ(listed.status, 0) << listed.err;
}

}  // namespace levin::test::regression_test
