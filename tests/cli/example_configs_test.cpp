#include <cstdlib>

#include "cli/program.h"

// The built `levin` on the files of examples/configs: what their comments promise.

namespace levin::test::example_configs_test {

std::string config(const std::string& name) {
  return LEVIN_SOURCE_DIR "/examples/configs/" + name + ".yaml";
}

/// The lines of a YAML file that say something, without their comments.
std::vector<std::string> statements(const fs::path& path) {
  std::istringstream text(read_file(path));
  std::vector<std::string> result;
  for (std::string line; std::getline(text, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    line.erase(line.find_last_not_of(" \t") + 1);
    if (!line.empty()) result.push_back(line);
  }
  return result;
}

class ExampleConfigs : public ProgramTest {
 protected:
  /// Fits, then tests the best checkpoint in another process: the accuracy on the test rows.
  double test_accuracy(const std::string& name, const std::vector<std::string>& more = {}) const {
    const Outcome fit = run(command("fit", name, more));
    EXPECT_EQ(fit.status, 0) << fit.err;
    if (fit.status != 0) return 0.0;
    EXPECT_EQ(fit.json().at("log_dir"), Value("levin_logs/version_0"));
    auto best = more;
    best.insert(best.end(), {"--ckpt-path", "best"});
    const Outcome test = run(command("test", name, best));
    EXPECT_EQ(test.status, 0) << test.err;
    return test.status == 0 ? test.json().at("test_acc").as_double() : 0.0;
  }

 private:
  static std::vector<std::string> command(const std::string& stage, const std::string& name,
                                          const std::vector<std::string>& more) {
    std::vector<std::string> all = {stage, "--config", config(name), "--json"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

// Rows 17, 20: fit and test of the 8x8 digits. The file: splits give from 94 to 97 %.
TEST_F(ExampleConfigs, digits_classifies_at_least_94_percent_of_the_test_images) {
  EXPECT_GE(test_accuracy("digits"), 0.94);
}

TEST_F(ExampleConfigs, digits_mlp_classifies_at_least_94_percent_of_the_test_images) {
  EXPECT_GE(test_accuracy("digits_mlp"), 0.94);
}

// Row 22: logistic regression swapped for a neural net.
TEST_F(ExampleConfigs, swapping_the_model_is_one_line_of_yaml) {
  const auto plain = statements(config("digits"));
  const auto net = statements(config("digits_mlp"));
  ASSERT_EQ(plain.size(), net.size());
  std::vector<std::string> differing;
  for (size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] != net[i]) differing.insert(differing.end(), {plain[i], net[i]});
  }
  EXPECT_EQ(differing,
            (std::vector<std::string>{"  class_path: LogisticRegression", "  class_path: MLP"}));
}

// Rows 10, 23. The file's split and seed: 100 % of the 15 test rows.
TEST_F(ExampleConfigs, iris_classifies_every_test_row) { EXPECT_EQ(test_accuracy("iris"), 1.0); }

class ExampleConfigsOfTables : public ExampleConfigs {
 protected:
  const std::string table_ = LEVIN_SOURCE_DIR "/examples/data/churn.csv";
};

// 81 of the 400 customers leave: always saying that they stay would be right for 80 %.
TEST_F(ExampleConfigsOfTables, churn_does_better_than_guessing_and_predicts_by_names) {
  EXPECT_GT(test_accuracy("churn", {"--data.x=" + table_}), 0.82);
  const auto logged = lines_of(read_file(folder_ / "levin_logs/version_0/metrics.csv")).at(0);
  for (const char* name : {"val_auroc", "val_recall_no", "val_recall_yes"}) {
    EXPECT_NE(logged.find(name), std::string::npos) << logged;
  }
  // Other columns in another order, a plan that no training row had, and no target.
  write("new.csv",
        "plan,customer,support_calls,monthly_fee,tenure,payment,region,new\n"
        "basic,N1,8,12,1,card,North,x\n"
        "gold,\"N2, Ltd\",?,,90,?,\"West, \"\"old town\"\"\",y\n");
  const Outcome outcome = run({"predict", "--ckpt-path", "best", "--data", "TableDataModule",
                               "--data.x=new.csv", "--output", "out.csv"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::istringstream lines(read_file(folder_ / "out.csv"));
  std::string header, leaves, stays;
  std::getline(lines, header);
  std::getline(lines, leaves);
  std::getline(lines, stays);
  EXPECT_EQ(header, "customer,class,class_name,probability_no,probability_yes");
  EXPECT_EQ(leaves.substr(0, 9), "N1,1,yes,");
  EXPECT_EQ(stays.substr(0, 15), "\"N2, Ltd\",0,no,");
  const Outcome streamed =
      run({"predict", "--ckpt-path", "best", "--data", "TableDataModule", "--data.x=new.csv",
           "--data.stream=true", "--output", "streamed.csv"});
  ASSERT_EQ(streamed.status, 0) << streamed.err;
  EXPECT_EQ(read_file(folder_ / "streamed.csv"), read_file(folder_ / "out.csv"));
  expect_error({"predict", "--ckpt-path", "best", "--data", "TableDataModule", "--data.x=new.csv",
                "--data.unknown=refuse", "--output", "out.csv"},
               1, "new.csv, line 3, column 1 (plan): no training row has the value 'gold'");
}

// From text to a model in one command, from memory, by a solver and as a stream.
TEST_F(ExampleConfigs, sparse_learns_from_text_in_memory_and_streamed) {
  const std::string data = LEVIN_SOURCE_DIR "/examples/data/clicks-";
  const std::vector<std::string> files = {"--data.train=[" + data + "train.svm]",
                                          "--data.test=[" + data + "test.svm]"};
  const auto with = [&files](std::vector<std::string> more) {
    more.insert(more.end(), files.begin(), files.end());
    return more;
  };
  EXPECT_GT(test_accuracy("sparse", files), 0.75);
  write("new.svm", "1 1:1\n-1 2:1 200:0\n");
  const Outcome outcome = run({"predict", "--ckpt-path", "best", "--data", "SparseDataModule",
                               "--data.predict=[new.svm]", "--output", "out.csv"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(read_file(folder_ / "out.csv").find("probability_-1,probability_1"), std::string::npos);
  std::filesystem::remove_all(folder_ / "levin_logs");
  EXPECT_GT(test_accuracy("sparse", with({"--data.stream=true", "--data.zero_based=false",
                                          "--data.val_split=0"})),
            0.75);
}

class ExampleConfigsOfMnist : public ExampleConfigs {
 protected:
  void SetUp() override {
    if (std::getenv("MNIST_DIR") == nullptr) {
      GTEST_SKIP() << "MNIST_DIR isn't set: it names the folder with the four files of MNIST";
    }
  }
  double accuracy(const std::string& name, std::vector<std::string> more = {}) const {
    more.push_back(std::string("--data.data_dir=") + std::getenv("MNIST_DIR"));
    return test_accuracy(name, more);
  }
};

// Row 24: 92 % of the 10,000 test images by logistic regression.
TEST_F(ExampleConfigsOfMnist, mnist_classifies_more_than_92_percent_of_the_test_images) {
  EXPECT_GT(accuracy("mnist"), 0.92);
}

// Row 25: the same with a feed-forward net.
TEST_F(ExampleConfigsOfMnist, mnist_mlp_does_better_than_logistic_regression_can) {
  EXPECT_GT(accuracy("mnist_mlp"), 0.96);
}

// Row 20: devices are picked by options alone; one rank speaks.
TEST_F(ExampleConfigs, digits_on_two_devices_are_learnt_as_well) {
  EXPECT_GE(test_accuracy("digits", {"--trainer.accelerator=cpu", "--trainer.devices=2"}), 0.94);
}

}  // namespace levin::test::example_configs_test
