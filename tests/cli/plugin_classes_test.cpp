#include <levin/cli/plugin_classes.h>

#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/core/error.h>

#include "cli/program.h"
#include "framework/message_of.h"

// Plugins that configuration files name, and the classes that only plugins have. The plugin is
// tests/cli/sample_plugin.cpp.

namespace levin::test::plugin_classes_test {

const std::string kSample = LEVIN_BINARY_DIR "/lib/libsample_plugin.so";

class PluginClasses : public ProgramTest {
 protected:
  PluginClasses() {
    fs::create_directories(folder_ / "jobs/lib");
    fs::create_symlink(kSample, folder_ / "jobs/lib/libmine.so");
    write("jobs/job.yaml",
          "plugins: lib/libmine.so\n"
          "trainer: {accelerator: cpu, max_epochs: 1, enable_progress_bar: false}\n"
          "model: SampleModel\n"
          "data: IrisDataModule\n");
  }
  std::string own_library() const { return fs::absolute(folder_ / "jobs/lib/libmine.so").string(); }
};

TEST_F(PluginClasses, of_a_configuration_file_are_known_in_the_same_file) {
  const Outcome fit = run({"fit", "--config", "jobs/job.yaml", "--json"});
  ASSERT_EQ(fit.status, 0) << fit.err;
  const auto config = fit.json().at("log_dir").as_string() + "/config.yaml";
  const std::string text = read_file(folder_ / config);
  EXPECT_NE(text.find("plugins: [\"" + own_library() + "\"]"), std::string::npos) << text;
  const Outcome again = run({"fit", "--config", config, "--print-config"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.out.find("class_path: SampleModel"), std::string::npos) << again.out;
  EXPECT_NE(again.out.find("plugins: [\"" + own_library() + "\"]"), std::string::npos) << again.out;
  const Outcome test = run({"test", "--config", "jobs/job.yaml", "--ckpt-path", "last", "--json"});
  ASSERT_EQ(test.status, 0) << test.err;
  expect_error({"test", "--data", "IrisDataModule", "--ckpt-path", "last"}, 2,
               "unknown class 'SampleModel'");
}

TEST_F(PluginClasses, of_a_file_in_the_environment_and_of_a_list_are_known) {
  write("more.yaml", "plugins: [jobs/lib/libmine.so, " + kSample + "]\nmodel: SampleModel\n");
  ::setenv("LEVIN_CONFIG", "more.yaml", 1);
  const Outcome shown = run({"fit", "--data", "IrisDataModule", "--print-config"});
  ::unsetenv("LEVIN_CONFIG");
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_NE(shown.out.find("plugins: [\"" + own_library() + "\", \"" + kSample + "\"]"),
            std::string::npos)
      << shown.out;
}

TEST_F(PluginClasses, are_not_looked_for_in_a_pipe_which_can_be_read_only_once) {
  const auto pipe_of = [](std::string_view text) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    EXPECT_EQ(::write(ends[1], text.data(), text.size()), std::ssize(text));
    ::close(ends[1]);
    return ends[0];
  };
  const int good = pipe_of("model: LogisticRegression\ndata: IrisDataModule\n");
  const auto path = "/dev/fd/" + std::to_string(good);
  const Outcome shown = run({"fit", "--config", path, "--print-config"});
  ::close(good);
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_NE(shown.out.find("class_path: LogisticRegression"), std::string::npos) << shown.out;
  const int wrong = pipe_of("plugins: lib/libmine.so\nmodel: SampleModel\n");
  expect_error({"fit", "--config", "/dev/fd/" + std::to_string(wrong), "--print-config"}, 2,
               "give them by --plugin");
  ::close(wrong);
}

TEST_F(PluginClasses, of_a_file_are_known_to_searches) {
  write("space.yaml", "model.learning_rate: {low: 0.01, high: 0.1}\n");
  const Outcome tune = run({"tune", "--config", "jobs/job.yaml", "--search", "space.yaml",
                            "--metric", "val_loss", "--trials", "1", "--output", "best.yaml"});
  ASSERT_EQ(tune.status, 0) << tune.err;
  const std::string best = read_file(folder_ / "best.yaml");
  EXPECT_NE(best.find("class_path: SampleModel"), std::string::npos) << best;
  EXPECT_NE(best.find("plugins: [\"" + own_library() + "\"]"), std::string::npos) << best;
  const Outcome sweep = run({"sweep", "--config", "jobs/job.yaml", "--metric", "val_loss",
                             "--model.learning_rate=0.01,0.02"});
  EXPECT_EQ(sweep.status, 0) << sweep.err;
}

TEST_F(PluginClasses, that_configurations_name_wrongly_are_refused_with_the_line) {
  write("jobs/wrong.yaml", "model: SampleModel\nplugins:\n  - lib/libmin.so\n");
  expect_error({"fit", "--config", "jobs/wrong.yaml", "--print-config"}, 2,
               "jobs/wrong.yaml:3: plugins: jobs/lib/libmin.so: there is no such file; did you "
               "mean 'jobs/lib/libmine.so'?");
  write("jobs/object.yaml", "plugins: {file: lib/libmine.so}\n");
  expect_error({"fit", "--config", "jobs/object.yaml", "--print-config"}, 2,
               "jobs/object.yaml:1: plugins = {\"file\":\"lib/libmine.so\"}: expected a library, "
               "or a list of them");
  write("jobs/name.yaml", "plugin: lib/libmine.so\n");
  expect_error({"fit", "--config", "jobs/name.yaml", "--print-config"}, 2,
               "jobs/name.yaml:1: unknown key 'plugin'; did you mean 'plugins'?");
}

TEST_F(PluginClasses, are_metrics_that_models_log_and_transforms_of_batches) {
  std::string rows = "a,b,y\n";
  for (int i = 0; i < 40; ++i) {
    rows +=
        std::to_string(i % 2) + "," + std::to_string(i % 5) + "," + std::to_string(i % 2) + "\n";
  }
  write("rows.csv", rows);
  const Outcome trained =
      run({"fit", "--config", "jobs/job.yaml", "--data", "ArrayDataModule", "--data.x=rows.csv",
           "--model.metrics=[sure_rows, {name: sure_rows, least: 1.1, as: never}]",
           "--data.transforms=[{name: invert, of: 3}]", "--data.val_split=0.5", "--json"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(trained.json().at("val_sure_rows").as_double(), 1.0) << "two classes: at least 0.5";
  EXPECT_EQ(trained.json().at("val_never").as_double(), 0.0);
  // The transform is part of what the checkpoint says of the data.
  const Outcome alike = run({"test", "--config", "jobs/job.yaml", "--data", "ArrayDataModule",
                             "--data.x_test=rows.csv", "--ckpt-path", "last",
                             "--data.transforms=[{name: invert, of: 3}]", "--json"});
  ASSERT_EQ(alike.status, 0) << alike.err;
  EXPECT_EQ(alike.json().at("test_sure_rows").as_double(), 1.0);
  expect_error({"fit", "--config", "jobs/job.yaml", "--model.metrics=[sure_row]"}, 2,
               "did you mean 'sure_rows'?");
  expect_error({"fit", "--config", "jobs/job.yaml", "--data", "ArrayDataModule",
                "--data.x=rows.csv", "--data.transforms=[invrt]"},
               2, "did you mean 'invert'?");
}

TEST_F(PluginClasses, are_listed_and_explained) {
  for (const auto& [kind, name] :
       {std::pair("metrics", "sure_rows"), std::pair("transforms", "invert"),
        std::pair("models", "SampleModel")}) {
    const Outcome list = run({"list", kind, "--plugin", kSample});
    ASSERT_EQ(list.status, 0) << list.err;
    EXPECT_NE(list.out.find(name), std::string::npos) << list.out;
    EXPECT_EQ(run({"list", kind}).out.find(name), std::string::npos) << "without the plugin";
    const Outcome help = run({"help", name, "--plugin=" + kSample});
    EXPECT_EQ(help.status, 0) << help.err;
  }
  EXPECT_NE(run({"help", "invert", "--plugin", kSample}).out.find("of: float = 1"),
            std::string::npos);
}

}  // namespace levin::test::plugin_classes_test
