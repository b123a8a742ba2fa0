#include <cstdlib>

#include "cli/program.h"

// `levin convert` and training on what it wrote, as a user does it (row 19 from the command line).

namespace levin::test::convert_test {

class ConvertProgram : public ProgramTest {
 protected:
  /// Rows whose class says which of three features is large.
  ConvertProgram() {
    std::string text = "a,b,c,label\n";
    for (int i = 0; i < 300; ++i) {
      for (int f = 0; f < 3; ++f) text += (f == i % 3 ? "2." : "0.") + std::to_string(i % 7) + ",";
      text += std::to_string(i % 3) + "\n";
    }
    write("rows.csv", text);
  }
};

TEST_F(ConvertProgram, shards_are_written_and_trained_on) {
  const Outcome made =
      run({"convert", "rows.csv", "-o", "shards", "--rows-per-shard=100", "--json"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(made.json().at("rows"), Value(300));
  EXPECT_EQ(made.json().at("shards"), Value(3));
  EXPECT_NE(made.err.find("300 rows in 3 shards"), std::string::npos) << made.err;
  EXPECT_EQ(contents(),
            (std::vector<std::string>{"rows.csv", "shards", "shards/shard-00000.lvb",
                                      "shards/shard-00001.lvb", "shards/shard-00002.lvb"}));
  write("stream.yaml", R"(seed_everything: 1
trainer:
  max_epochs: 20
model:
  class_path: LogisticRegression
  init_args: {in_features: 3, num_classes: 3, learning_rate: 0.1}
data:
  class_path: StreamDataModule
  init_args:
    train: ["shards/shard-0000[01].lvb"]
    val: [shards/shard-00002.lvb]
    num_workers: 1
)");
  const Outcome fit = run({"fit", "--config", "stream.yaml", "--json"});
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_EQ(fit.json().at("val_acc"), Value(1.0)) << fit.last_line();
}

TEST_F(ConvertProgram, a_tilde_is_the_home_folder_for_inputs_outputs_and_streams) {
  const char* const set = std::getenv("HOME");
  const std::string before = set == nullptr ? "/" : set;
  ::setenv("HOME", folder_.string().c_str(), 1);
  const Outcome made = run({"convert", "~/rows.csv", "-o", "~/shards", "--json"});
  EXPECT_TRUE(fs::exists(folder_ / "shards/shard-00000.lvb")) << made.err;
  const Outcome fit = run({"fit", "--model", "LogisticRegression", "--model.in_features=3",
                           "--model.num_classes=3", "--data", "StreamDataModule",
                           "--data.train=[\"~/shards/*.lvb\"]", "--trainer.max_epochs=1"});
  ::setenv("HOME", before.c_str(), 1);
  EXPECT_EQ(fit.status, 0) << fit.err;
  for (const auto& name : contents()) EXPECT_EQ(name.find('~'), std::string::npos) << name;
}

TEST_F(ConvertProgram, a_result_that_cannot_be_printed_is_an_error) {
  fs::create_directories(output_folder());
  const std::string command = "cd '" + folder_.string() +
                              "' && '" LEVIN_BINARY_DIR
                              "/bin/levin' convert rows.csv -o full --json >/dev/full 2>'" +
                              (output_folder() / "said").string() + "'";
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(read_file(output_folder() / "said").find("can't write to 'standard output'"),
            std::string::npos);
}

// The comment of examples/configs/stream.yaml, run.
TEST_F(ConvertProgram, mnist_is_converted_streamed_and_learned) {
  const char* const mnist = std::getenv("MNIST_DIR");
  if (mnist == nullptr) GTEST_SKIP() << "MNIST_DIR isn't set: it names the four files of MNIST";
  for (const std::string set : {"train", "t10k"}) {
    const auto file = [&](const std::string& kind) {
      const fs::path path = fs::absolute(mnist) / (set + "-" + kind + "-ubyte");
      return fs::exists(path) ? path.string() : path.string() + ".gz";
    };
    const std::string output = set == "train" ? "data/mnist-train" : "data/mnist-test";
    const Outcome made =
        run({"convert", file("images-idx3"), "--targets", file("labels-idx1"), "--output", output});
    ASSERT_EQ(made.status, 0) << made.err;
  }
  const std::string config = LEVIN_SOURCE_DIR "/examples/configs/stream.yaml";
  ASSERT_EQ(run({"fit", "--config", config}).status, 0);
  const Outcome test = run({"test", "--config", config, "--ckpt-path", "last", "--json"});
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_GE(test.json().at("test_acc").as_double(), 0.915);
}

TEST_F(ConvertProgram, wrong_use_is_status_2_bad_files_1_and_nothing_is_left) {
  write("bad.csv", "1,2\n3\n");
  const auto before = contents();
  expect_error({"convert", "rows.csv"}, 2, "no output is named");
  expect_error({"convert", "-o", "out"}, 2, "at least one file");
  expect_error({"convert", "rows.csv", "-o", "out", "--row-per-shard", "5"}, 2,
               "did you mean '--rows-per-shard'");
  expect_error({"convert", "rows.csv", "-o", "out", "--rows_per_shard", "many"}, 2, "many");
  expect_error({"convert", "rows.csv", "-o", "out", "--zero_based", "2"}, 2, "zero_based");
  expect_error({"convert", "rows.csv", "-o", "out", "--format", "libsvn"}, 2,
               "did you mean 'libsvm'");
  expect_error({"convert", "rows.csv", "-o", "out", "--sparse", "true", "--format", "csv"}, 2,
               "only libsvm and .npz files hold sparse rows");
  expect_error({"convert", "rows.csv", "-o", "."}, 2, "it exists and isn't an empty folder");
  expect_error({"convert", "gone.csv", "-o", "out"}, 1, "gone.csv");
  expect_error({"convert", "bad.csv", "-o", "out"}, 1,
               "bad.csv, line 2: the row has 1 cell, but the first line has 2");
  EXPECT_EQ(contents(), before);
}

// trials 2
TEST_F(ConvertProgram, a_first_line_that_could_be_a_header_is_refused_or_mentioned) {
  write("years.csv", "2019,2020\n1,2\n");
  write("numbers.csv", "0,1\n3,2\n");
  const Outcome made = run({"convert", "years.csv", "-o", "years"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_NE(made.err.find("note: years.csv, line 1: '2019', '2020' are taken for a row"),
            std::string::npos)
      << made.err;
  expect_error({"convert", "numbers.csv", "-o", "out"}, 1, "Set header = true");
  const Outcome told = run({"convert", "numbers.csv", "-o", "out", "--header", "true", "--json"});
  ASSERT_EQ(told.status, 0) << told.err;
  EXPECT_EQ(told.json().at("rows"), Value(1));
  expect_error({"convert", "numbers.csv", "-o", "more", "--header", "1"}, 2, "header");
}

TEST_F(ConvertProgram, help_lists_every_option) {
  const Outcome help = run({"convert", "--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* part :
       {"rows_per_shard", "targets", "zero_based", "sparse", "--output", "exit status"}) {
    EXPECT_NE(help.out.find(part), std::string::npos) << part << " is missing in\n" << help.out;
  }
}

}  // namespace levin::test::convert_test
