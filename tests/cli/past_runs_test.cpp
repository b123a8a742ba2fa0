#include <levin/cli/past_runs.h>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

#include "cli/program.h"
#include "framework/message_of.h"

namespace levin::test::past_runs_test {

/// Folders as runs leave them, written by hand.
class PastRuns : public ProgramTest {
 protected:
  void make_run(int number, const std::string& model, double rate, const std::string& csv) const {
    const std::string name = "levin_logs/version_" + std::to_string(number);
    fs::create_directories(folder_ / name);
    write(name + "/config.yaml",
          "seed_everything: 1\ntrainer: {max_epochs: 3, default_root_dir: here" +
              std::to_string(number) + "}\nmodel:\n  class_path: " + model +
              "\n  init_args: {learning_rate: " + std::to_string(rate) +
              ", metrics: [f1]}\ndata: {class_path: IrisDataModule}\n");
    write(name + "/metrics.csv", csv);
  }
  void make_three() const {
    make_run(0, "MLP", 0.5, "epoch,step,val_loss,val_acc\n0,1,0.5,0.75\n1,2,0.25,0.5\n2,3,,\n");
    make_run(2, "LogisticRegression", 0.5, "epoch,step,val_loss,val_f1\n0,1,0.125,0.5\n");
    make_run(10, "levin.MLP", 0.25, "epoch,step,val_loss\n0,1,nan\n");
  }
};

TEST_F(PastRuns, have_their_models_best_values_and_the_settings_in_which_they_differ) {
  make_three();
  const auto runs = read_past_runs(folder_.path());
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[2].folder, folder_ / "levin_logs/version_10");
  EXPECT_EQ(runs[2].model, "MLP");
  EXPECT_EQ(runs[0].epochs, 2) << "that have values";
  EXPECT_EQ(runs[0].best.at("val_loss"), std::pair(0.25, 1.0));
  EXPECT_EQ(runs[0].best.at("val_acc"), std::pair(0.75, 0.0));
  EXPECT_EQ(runs[0].settings.at("trainer.max_epochs"), Value(3));
  EXPECT_EQ(runs[0].settings.at("seed"), Value(1));
  EXPECT_EQ(runs[0].settings.count("trainer.default_root_dir"), 0U);
  const auto lines = lines_of(past_runs_table(runs, {}));
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_TRUE(
      says(lines[0], {"run ", "lowest val_loss  highest val_acc  highest val_f1  settings"}));
  EXPECT_TRUE(
      says(lines[1], {"version_0 ", " MLP ", " 0.25 ", " 0.75 ", " -  ", "  learning_rate=0.5"}));
  EXPECT_TRUE(says(lines[2], {"version_2 ", " LogisticRegression ", " 0.125 ", " 0.5 "}));
  EXPECT_TRUE(says(lines[3], {"version_10 ", " MLP ", "  learning_rate=0.25"}));
  EXPECT_EQ(lines[1].find("metrics"), std::string::npos) << "they are the same";
}

TEST_F(PastRuns, are_compared_by_each_setting_of_their_callbacks) {
  make_run(0, "MLP", 0.5, "epoch,step,val_loss\n0,1,0.5\n");
  make_run(1, "MLP", 0.5, "epoch,step,val_loss\n0,1,0.5\n");
  write("levin_logs/version_0/config.yaml",
        "model: {class_path: MLP}\ntrainer: {callbacks: [{class_path: EarlyStopping, init_args: "
        "{monitor: val_loss, patience: 3}}]}\n");
  write("levin_logs/version_1/config.yaml",
        "model: {class_path: MLP}\ntrainer: {callbacks: [{class_path: EarlyStopping, init_args: "
        "{monitor: val_loss, patience: 5}}, {class_path: Timer}]}\n");
  fs::create_directories(folder_ / "levin_logs/version_2");
  write("levin_logs/version_2/hparams.yaml", "seed: 3\ntrainer: {max_epochs: 9}\n");
  const auto lines = lines_of(past_runs_table(read_past_runs(folder_.path()), {}));
  EXPECT_TRUE(says(lines[1], {"  callbacks=[EarlyStopping] patience=3"})) << lines[1];
  EXPECT_TRUE(says(lines[2], {"  callbacks=[EarlyStopping,Timer] patience=5"})) << lines[2];
  EXPECT_EQ(lines[3].find("max_epochs"), std::string::npos) << "it says no model: " << lines[3];
}

TEST_F(PastRuns, are_compared_by_each_of_several_callbacks_of_a_class) {
  make_run(0, "MLP", 0.5, "epoch,step,val_loss\n0,1,0.5\n");
  make_run(1, "MLP", 0.5, "epoch,step,val_loss\n0,1,0.5\n");
  for (const int run : {0, 1}) {
    write("levin_logs/version_" + std::to_string(run) + "/config.yaml",
          "model: {class_path: MLP}\ntrainer: {callbacks: [{class_path: EarlyStopping, init_args: "
          "{patience: " +
              std::to_string(run + 3) +
              "}}, {class_path: EarlyStopping, init_args: {patience: 7}}]}\n");
  }
  const auto runs = read_past_runs(folder_.path());
  for (const auto& run : runs) {
    const auto& settings = run.settings;
    const bool is_first = run.folder.filename() == "version_0";
    EXPECT_EQ(settings.at("trainer.callbacks.EarlyStopping.patience"), Value(is_first ? 3 : 4));
    EXPECT_EQ(settings.at("trainer.callbacks.EarlyStopping[2].patience"), Value(7));
  }
  const auto lines = lines_of(past_runs_table(runs, {}));
  EXPECT_TRUE(lines[1].ends_with("  patience=3")) << lines[1];
  EXPECT_TRUE(lines[2].ends_with("  patience=4")) << lines[2];
}

TEST_F(PastRuns, are_sorted_by_a_metric_and_printed_as_json) {
  make_three();
  const Outcome table = run({"runs", "--metric", "val_loss"});
  ASSERT_EQ(table.status, 0) << table.err;
  const auto lines = lines_of(table.out);
  ASSERT_EQ(lines.size(), 4U) << table.out;
  EXPECT_EQ(lines[1].rfind("levin_logs/version_2 ", 0), 0U) << table.out;
  EXPECT_EQ(lines[2].rfind("levin_logs/version_0 ", 0), 0U) << table.out;
  const Outcome json = run({"runs", folder_.string() + "/levin_logs", "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  const auto runs = json.json().at("runs").as_array();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[1].at("best").at("val_f1").at("value"), Value(0.5));
  EXPECT_EQ(runs[2].at("settings"), Value(Value::Object{{"model.learning_rate", 0.25}}));
  EXPECT_EQ(runs[0].at("data"), Value("IrisDataModule"));
  EXPECT_GT(runs[0].at("written").as_int(), 1'700'000'000);
  expect_error({"runs", "--metric", "val_los"}, 2, "unknown metric 'val_los'; did you mean");
}

TEST_F(PastRuns, whose_files_are_damaged_or_missing_are_shown_with_what_there_is) {
  make_three();
  write("levin_logs/version_0/metrics.csv", "epoch,step,val_loss\n0,1\n");
  write("levin_logs/version_2/config.yaml", "model: [");
  fs::create_directories(folder_ / "levin_logs/version_11");
  const Outcome table = run({"runs"});
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_EQ(lines_of(table.out).size(), 5U) << table.out;
  EXPECT_TRUE(says(table.err, {"warning: levin_logs/version_0/metrics.csv is left out: ",
                               "warning: levin_logs/version_2/config.yaml is left out: "}));
  expect_error({"runs", "nowhere"}, 1, "there are no runs in 'nowhere'; name a folder");
}

TEST_F(PastRuns, of_a_program_get_their_model_from_a_checkpoint) {
  MLP model({.in_features = 4, .num_classes = 3});
  IrisDataModule data;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
  trainer.add<ModelCheckpoint>({.monitor = "val_loss"});
  trainer.fit(model, data);
  const auto runs = read_past_runs(folder_.path());
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].model, "MLP");
}

TEST_F(PastRuns, that_end_well_are_done) {
  run({"fit", "--model", "LogisticRegression", "--data", "IrisDataModule",
       "--trainer.max_epochs=1"});
  EXPECT_EQ(read_past_runs(folder_.path()).at(0).status, "done");
}

TEST_F(PastRuns, say_how_each_ended_if_not_all_are_done) {
  make_three();
  const auto record = [](const char* status) {
    return std::string(R"({"format": 1, "fits": [{"status": "failed"}, {"status": ")") + status +
           "\"}]}";
  };
  write("levin_logs/version_0/run.json", record("done"));
  EXPECT_EQ(lines_of(run({"runs"}).out)[0].find("status"), std::string::npos);
  write("levin_logs/version_2/run.json", record("failed"));
  write("levin_logs/version_10/run.json", record("running"));
  const Outcome table = run({"runs"});
  EXPECT_EQ(table.err, "");
  const auto lines = lines_of(table.out);
  ASSERT_EQ(lines.size(), 4U) << table.out;
  EXPECT_TRUE(says(lines[0], {"epochs  status "})) << table.out;
  EXPECT_TRUE(says(lines[1], {"version_0 ", " done "})) << table.out;
  EXPECT_TRUE(says(lines[2], {"version_2 ", " failed "})) << table.out;
  EXPECT_TRUE(says(lines[3], {"version_10 ", " unfinished "})) << table.out;
  EXPECT_EQ(run({"runs", "--json"}).json().at("runs").as_array()[1].at("status"), Value("failed"));
  write("levin_logs/version_10/run.json", "{");
  EXPECT_TRUE(says(run({"runs"}).err, {"warning: levin_logs/version_10/run.json is left out: "}));
}

TEST_F(PastRuns, can_be_listed_by_a_metric_that_never_was_a_number) {
  make_run(0, "MLP", 0.5, "epoch,step,val_loss\n0,1,nan\n");
  const Outcome table = run({"runs", "--metric", "val_loss"});
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(says(lines_of(table.out)[1], {"version_0 ", " MLP    1       -"})) << table.out;
}

TEST(PastRunMetrics, are_best_when_low_if_their_name_says_so) {
  for (const char* name : {"val_loss", "loss", "val_mse", "val_calibration_error", "val/log_loss",
                           "comm_bytes", "fit_seconds", "staleness", "late_steps"}) {
    EXPECT_TRUE(lower_is_better(name)) << name;
  }
  for (const char* name : {"val_acc", "val_lossless", "r2", "", "val_f1"}) {
    EXPECT_FALSE(lower_is_better(name)) << name;
  }
}

}  // namespace levin::test::past_runs_test
