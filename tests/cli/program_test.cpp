#include "cli/program.h"

// The built `levin`, run as a user runs it: exit statuses, what goes to stdout and stderr, and what
// is left on disk (rows 12, 20, 22 and 34 from the command line).

namespace levin::test::program_test {

constexpr const char* kIris = R"(seed_everything: 1
trainer:
  max_epochs: 3
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: LogisticRegression
  init_args:
    in_features: 4
    num_classes: 3
    learning_rate: 0.05
data:
  class_path: IrisDataModule
)";

class Program : public ProgramTest {
 protected:
  Program() { write("iris.yaml", kIris); }
  static std::vector<std::string> command(const std::string& name,
                                          const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = {name, "--config", "iris.yaml"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// An error leaves nothing behind.
  void expect_refused(const std::vector<std::string>& arguments, int status,
                      const std::string& part) const {
    const auto before = contents();
    expect_error(arguments, status, part);
    EXPECT_EQ(contents(), before);
  }
};

TEST_F(Program, fit_trains_prints_json_last_and_fills_the_run_folder) {
  const Outcome fit = run(command("fit", {"--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  const Value result = fit.json();
  EXPECT_EQ(result.at("epochs"), Value(3));
  EXPECT_EQ(result.at("stop_reason"), Value("max_epochs"));
  EXPECT_GT(result.at("val_acc").as_double(), 0.3);
  EXPECT_NE(fit.err.find("val_acc"), std::string::npos) << fit.err;

  const fs::path run_folder = folder_ / "levin_logs/version_0";
  EXPECT_EQ(result.at("log_dir"), Value("levin_logs/version_0"));
  EXPECT_TRUE(fs::exists(run_folder / "metrics.csv"));
  EXPECT_TRUE(fs::exists(run_folder / "hparams.yaml"));
  EXPECT_TRUE(fs::exists(folder_ / result.at("best_checkpoint").as_string()));

  // config.yaml says everything there is to say: it trains the same model.
  const Outcome again = run({"fit", "--config", "levin_logs/version_0/config.yaml", "--json"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.json().at("train_loss"), result.at("train_loss"));
  EXPECT_EQ(read_file(folder_ / "levin_logs/version_1/metrics.csv"),
            read_file(run_folder / "metrics.csv"));
  EXPECT_EQ(read_file(folder_ / "levin_logs/version_1/config.yaml"),
            read_file(run_folder / "config.yaml"));
}

TEST_F(Program, test_and_validate_use_a_checkpoint_of_another_process) {
  const Outcome fit = run(command("fit", {"--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  const Outcome validate = run(command("validate", {"--ckpt-path", "last", "--json"}));
  ASSERT_EQ(validate.status, 0) << validate.err;
  EXPECT_EQ(validate.json().at("val_acc"), fit.json().at("val_acc"));
  EXPECT_EQ(validate.json().at("val_loss"), fit.json().at("val_loss"));
  const Outcome test = run(command("test", {"--ckpt_path=best", "--json"}));
  ASSERT_EQ(test.status, 0) << test.err;
  EXPECT_TRUE(test.json().contains("test_acc"));
}

TEST_F(Program, a_resumed_fit_uses_the_settings_it_is_given_and_records_what_is_so) {
  const std::vector<std::string> sgd = {"--optimizer", "SGD", "--optimizer.learning_rate=3",
                                        "--trainer.callbacks+=LearningRateMonitor", "--json"};
  const Outcome first = run(command("fit", sgd));
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.json().at("lr-SGD").as_double(), 3.0);
  EXPECT_EQ(first.err.find("warning: these"), std::string::npos) << first.err;
  auto changed = sgd;
  changed.insert(changed.end(), {"--ckpt-path", "last", "--trainer.max_epochs=6",
                                 "--optimizer.learning_rate=0.001", "--seed_everything=7"});
  const Outcome second = run(command("fit", changed));
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(second.json().at("epochs"), Value(6));
  EXPECT_EQ(second.json().at("lr-SGD").as_double(), 0.001);
  EXPECT_NE(second.err.find("learning_rate = 0.001 (3"), std::string::npos) << second.err;
  EXPECT_NE(second.err.find("warning: the seed 7 isn't used"), std::string::npos) << second.err;
  const std::string config = read_file(folder_ / "levin_logs/version_0/config.yaml");
  EXPECT_NE(config.find("seed_everything: 1\n"), std::string::npos) << config;
  EXPECT_NE(config.find("learning_rate: 0.001"), std::string::npos) << config;
}

TEST_F(Program, a_plateau_waits_for_the_validation_of_every_second_epoch) {
  const Outcome fit = run(
      command("fit", {"--trainer.check_val_every_n_epoch=2", "--optimizer", "SGD", "--lr_scheduler",
                      "ReduceLROnPlateau", "--lr_scheduler.monitor=val_loss"}));
  EXPECT_EQ(fit.status, 0) << fit.err;
}

TEST_F(Program, untrained_weights_are_tested_with_a_warning) {
  const Outcome test = run(command("test", {"--json"}));
  EXPECT_EQ(test.status, 0) << test.err;
  EXPECT_NE(test.err.find("warning: test uses the weights"), std::string::npos) << test.err;
}

TEST_F(Program, predict_writes_what_numpy_reads) {
  const Outcome predict = run(command("predict", {"--output", "out/p.npz", "--json"}));
  ASSERT_EQ(predict.status, 0) << predict.err;
  EXPECT_EQ(predict.json().at("shapes").at("class"), Value(Value::Array{150}));
  EXPECT_EQ(predict.json().at("shapes").at("probability"), Value(Value::Array{150, 3}));
  EXPECT_TRUE(fs::exists(folder_ / "out/p.npz"));
}

TEST_F(Program, each_switch_of_the_trainer_leaves_out_what_it_names) {
  using Shown = std::tuple<bool, bool, bool>;
  for (const auto& [bar, summary, checkpoints] :
       {Shown(true, true, true), Shown(false, true, true), Shown(true, false, true),
        Shown(true, true, false)}) {
    const auto option = [](const std::string& name, bool on) {
      return "--trainer.enable_" + name + "=" + (on ? "true" : "false");
    };
    const Outcome fit = run(
        command("fit", {"--trainer.max_epochs=1", "--json", option("progress_bar", bar),
                        option("model_summary", summary), option("checkpointing", checkpoints)}));
    ASSERT_EQ(fit.status, 0) << fit.err;
    const fs::path log_dir = folder_ / fit.json().at("log_dir").as_string();
    EXPECT_EQ(Shown(fit.err.find("Epoch 0/0 100%") != std::string::npos,
                    fit.err.find("15 parameters (15 trainable)") != std::string::npos,
                    fs::exists(log_dir / "checkpoints")),
              Shown(bar, summary, checkpoints))
        << fit.err;
  }
}

TEST_F(Program, swapping_the_model_is_one_option) {
  const Outcome fit =
      run(command("fit", {"--model", "MLP", "--model.hidden_sizes=[5,4]", "--json",
                          "--trainer.logger=false", "--trainer.enable_checkpointing=false"}));
  EXPECT_EQ(fit.status, 0) << fit.err;
  EXPECT_TRUE(fit.json().contains("val_acc"));
  EXPECT_FALSE(fs::exists(folder_ / "levin_logs"));  // nobody asked for files
}

TEST_F(Program, optimizer_schedule_and_callbacks_come_from_the_command_line) {
  const Outcome fit = run(command(
      "fit", {"--optimizer", "Adam", "--optimizer.learning_rate=0.01", "--lr_scheduler", "StepLR",
              "--lr_scheduler.step_size=1", "--lr_scheduler.gamma=0.5",
              "--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks+=EarlyStopping",
              "--trainer.callbacks.monitor=val_loss", "--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_DOUBLE_EQ(fit.json().at("lr-Adam").as_double(), 0.0025);
}

TEST_F(Program, wrong_configuration_ends_with_2_before_anything_is_written) {
  expect_refused({"fit", "--config", "nowhere.yaml"}, 2, "nowhere.yaml");
  expect_refused(command("fit", {"--trainer.max_epoch=3"}), 2, "did you mean 'max_epochs'?");
  expect_refused(command("fit", {"--trainer.max_epochs=many"}), 2,
                 "command line: trainer.max_epochs = \"many\": expected int or null");
  expect_refused(command("fit", {"--model", "MPL"}), 2, "unknown class 'MPL'; did you mean 'MLP'?");
  expect_refused(command("fit", {"--model.in_features=-4"}), 2,
                 "command line: model.in_features = -4");
  expect_refused(command("fit", {"--data.batch_size=0"}), 2, "batch_size = 0");
  expect_refused(command("fit", {"--trainer.accelerator=cpu", "--trainer.devices=[99]"}), 2,
                 "there is no device 99");
  expect_refused({"fit", "--model", "MLP"}, 2, "no data is named");
}

TEST_F(Program, an_unknown_key_names_file_line_and_the_nearest_key) {
  write("wrong.yaml", "trainer:\n  max_epochs: 3\n  log_evry_n_steps: 5\n");
  expect_refused({"fit", "--config", "iris.yaml", "--config", "wrong.yaml"}, 2,
                 "error: wrong.yaml:3: trainer: unknown key 'log_evry_n_steps'; did you mean "
                 "'log_every_n_steps'?");
}

TEST_F(Program, wrong_usage_ends_with_2) {
  expect_refused({"fti"}, 2, "unknown command 'fti'; did you mean 'fit'?");
  expect_refused({"fit", "--confg", "iris.yaml"}, 2, "did you mean '--config'?");
  expect_refused({"fit", "--max_epochs=3"}, 2, "did you mean '--trainer.max_epochs'?");
  expect_refused({"fit", "iris.yaml"}, 2, "--config iris.yaml");
  expect_refused({"list", "modles"}, 2, "did you mean 'models'?");
  expect_refused({"fit", "--output=x.npz"}, 2, "--output is an option of");
  EXPECT_EQ(run({}).status, 2);
}

TEST_F(Program, what_fails_ends_with_1_and_leaves_nothing_behind) {
  expect_refused(command("fit", {"--data", "ArrayDataModule", "--data.x=nowhere.npy"}), 1,
                 "nowhere.npy");
  expect_refused(command("test", {"--ckpt-path=last"}), 1, "no run there has checkpoints");
  expect_refused(command("test", {"--ckpt-path=nowhere.ckpt"}), 1, "nowhere.ckpt");
  expect_refused(command("fit", {"--trainer.default_root_dir=iris.yaml/below"}), 1,
                 "iris.yaml/below");
  expect_refused(command("predict", {"--output=iris.yaml/p.npz"}), 1, "iris.yaml");
  expect_refused(command("fit", {"--model.num_classes=2"}), 1, "2");  // a label out of range
}

TEST_F(Program, a_word_without_an_option_is_refused_with_the_option_that_it_needs) {
  expect_error({"fit", "MLP"}, 2, "unexpected word 'MLP'; a model is given as --model MLP");
  expect_error({"fit", "IrisDataModule"}, 2, "a data module is given as --data IrisDataModule");
  expect_error({"test", "best"}, 2, "a checkpoint is given as --ckpt-path best");
  expect_error({"fit", "iris.yaml"}, 2, "a configuration is given as --config iris.yaml");
  expect_error({"fit", "--model", "MLP", "--data", "Iris"}, 2, "did you mean 'IrisDataModule'?");
}

TEST_F(Program, a_monitor_nobody_logs_is_named_with_those_there_are) {
  expect_error(
      command("fit", {"--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_los"}),
      1, "did you mean 'val_loss'?");
}

TEST_F(Program, a_checkpoint_of_another_model_is_refused) {
  const Outcome fit = run(command("fit", {"--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  const std::string checkpoint = fit.json().at("best_checkpoint").as_string();
  const std::string bytes = read_file(folder_ / checkpoint);
  const auto before = contents();
  expect_error(command("fit", {"--model", "MLP", "--ckpt-path", checkpoint}), 2,
               "command line: model: the class is MLP, but fit goes on from '" + checkpoint +
                   "', a checkpoint of LogisticRegression; name LogisticRegression");
  EXPECT_EQ(contents(), before);
  expect_error(command("predict", {"--model", "MLP", "--ckpt-path", checkpoint, "-o", "p.npz"}), 1,
               "doesn't fit");
  EXPECT_EQ(contents(), before);
  EXPECT_EQ(read_file(folder_ / checkpoint), bytes);
}

TEST_F(Program, ctrl_c_saves_a_checkpoint_that_can_be_resumed) {
  const pid_t child = start(command("fit", {"--trainer.max_epochs=1000000", "--json"}));
  const fs::path metrics = folder_ / "levin_logs/version_0/metrics.csv";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (read_file(metrics).size() < 400 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ::kill(child, SIGINT);
  const Outcome interrupted = wait(child);
  ASSERT_EQ(interrupted.status, 130) << interrupted.err;
  EXPECT_EQ(interrupted.json().at("stop_reason"), Value("interrupted"));
  const int64_t steps = interrupted.json().at("global_step").as_int();
  const fs::path checkpoint = folder_ / interrupted.json().at("last_checkpoint").as_string();
  ASSERT_TRUE(fs::exists(checkpoint)) << checkpoint;

  const Outcome resumed =
      run(command("fit", {"--ckpt-path=last", "--json", "--trainer.max_epochs=-1",
                          "--trainer.max_steps=" + std::to_string(steps + 10)}));
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(resumed.json().at("global_step"), Value(steps + 10));
  EXPECT_EQ(resumed.json().at("log_dir").as_string(), interrupted.json().at("log_dir").as_string());
  EXPECT_FALSE(fs::exists(folder_ / "levin_logs/version_1"));
}

TEST_F(Program, print_config_is_a_whole_configuration) {
  const Outcome printed = run(command("fit", {"--print-config", "--trainer.max_epochs=7"}));
  ASSERT_EQ(printed.status, 0) << printed.err;
  EXPECT_NE(printed.out.find("max_epochs: 7"), std::string::npos) << printed.out;
  EXPECT_NE(printed.out.find("gradient_clip_algorithm: norm"), std::string::npos) << printed.out;
  EXPECT_NE(printed.out.find("# "), std::string::npos);
  write("whole.yaml", printed.out);
  const Outcome again = run({"fit", "--config", "whole.yaml", "--print_config"});
  EXPECT_EQ(again.out, printed.out);
  EXPECT_FALSE(fs::exists(folder_ / "levin_logs"));
}

TEST_F(Program, a_run_with_links_saves_them_and_runs_again_with_another_source) {
  write("links.yaml", "links: {data.batch_size: trainer.log_every_n_steps}\n");
  const Outcome fit = run(command(
      "fit", {"--config", "links.yaml", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=30",
              "--links.data.seed=seed_everything", "--json"}));
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_EQ(fit.json().at("global_step"), Value(4)) << "120 rows in batches of 30";
  const std::string hparams = read_file(folder_ / "levin_logs/version_0/hparams.yaml");
  EXPECT_NE(hparams.find("batch_size: 30\n"), std::string::npos) << hparams;
  const Outcome again = run({"fit", "--config", "levin_logs/version_0/config.yaml",
                             "--trainer.log_every_n_steps=40", "--json"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.json().at("global_step"), Value(3)) << "120 rows in batches of 40";
  // A resumed fit has the checkpoint's seed, but its data the seed that they were given.
  const Outcome resumed = run({"fit", "--config", "levin_logs/version_0/config.yaml", "--ckpt-path",
                               fit.json().at("last_checkpoint").as_string(), "--seed_everything=5",
                               "--trainer.max_epochs=2"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  const Outcome recorded =
      run({"fit", "--config", "levin_logs/version_0/config.yaml", "--print-config"});
  EXPECT_NE(recorded.out.find("seed_everything: 1 "), std::string::npos) << recorded.out;
  EXPECT_NE(recorded.out.find("seed: 5 "), std::string::npos) << recorded.out;
  const auto before = contents();
  expect_error({"fit", "--config", "levin_logs/version_1/config.yaml", "--data.batch_size=7"}, 2,
               "command line: data.batch_size is set, but levin_logs/version_1/config.yaml:");
  EXPECT_EQ(contents(), before);
}

TEST_F(Program, fast_dev_run_leaves_no_files) {
  const auto before = contents();
  const Outcome fit = run(command("fit", {"--trainer.fast_dev_run", "--json"}));
  EXPECT_EQ(fit.status, 0) << fit.err;
  EXPECT_EQ(fit.json().at("global_step"), Value(1));
  EXPECT_EQ(contents(), before);
}

TEST_F(Program, plot_draws_a_run) {
  ASSERT_EQ(run(command("fit")).status, 0);
  const Outcome plot = run({"plot", "levin_logs/version_0", "--metric", "val_loss"});
  EXPECT_EQ(plot.status, 0) << plot.err;
  EXPECT_EQ(plot.out.rfind("val_loss: ", 0), 0U) << plot.out;
  EXPECT_NE(plot.out.find('*'), std::string::npos) << plot.out;
  expect_error({"plot", "levin_logs/version_0", "--metric=val_los"}, 2, "did you mean 'val_loss'?");
  expect_error({"plot", "nowhere"}, 1, "nowhere");
  expect_error({"plot"}, 2,
               "levin plot takes the folders of runs, but got none; see levin plot --help");
}

TEST_F(Program, help_list_and_version_go_to_stdout) {
  const Outcome version = run({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_EQ(version.out.rfind("levin ", 0), 0U) << version.out;
  for (const char* name : {"fit", "validate", "test", "predict", "list", "plot"}) {
    const Outcome help = run({name, "--help"});
    EXPECT_EQ(help.status, 0) << help.err;
    EXPECT_NE(help.out.find(std::string("usage: levin ") + name), std::string::npos) << help.out;
    const bool has_options = std::string(name) != "list";
    EXPECT_EQ(help.out.find("\noptions:\n") != std::string::npos, has_options) << help.out;
  }
  const Outcome list = run({"list"});
  EXPECT_EQ(list.status, 0) << list.err;
  EXPECT_NE(list.out.find("LogisticRegression"), std::string::npos) << list.out;
  const Outcome about = run({"fit", "--model.help", "MLP"});
  EXPECT_EQ(about.status, 0) << about.err;
  EXPECT_NE(about.out.find("hidden_sizes"), std::string::npos) << about.out;
}

}  // namespace levin::test::program_test
