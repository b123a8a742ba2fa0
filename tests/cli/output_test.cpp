#include <sys/wait.h>

#include <cstdlib>

#include <levin/framework/collectives/gloo.h>

#include "cli/program.h"
#include "framework/default_hangup.h"
#include "framework/eventually.h"

// Where the output of the program goes, and what becomes of it if it can't get there: messages are
// lost and the work goes on, while a result that is lost is an error.

namespace levin::test::output_test {

constexpr const char* kConfig = R"(seed_everything: 1
trainer:
  max_epochs: 2
model:
  class_path: LogisticRegression
  init_args: {in_features: 4, num_classes: 3, learning_rate: 0.05}
data:
  class_path: IrisDataModule
)";

class ProgramOutput : public ProgramTest {
 protected:
  ProgramOutput() { write("iris.yaml", kConfig); }

  /// The status with which a shell's command ends in the folder; `levin` in it is the program. What
  /// isn't redirected goes to the file "said" beside the folder.
  int shell(const std::string& command) const {
    fs::create_directories(output_folder());
    const std::string script = "cd '" + folder_.string() +
                               "' && levin() { '" LEVIN_BINARY_DIR "/bin/levin' \"$@\"; }; { " +
                               command + "; } > '" + (output_folder() / "said").string() + "' 2>&1";
    const int status = std::system(script.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string said() const { return read_file(output_folder() / "said"); }

  std::vector<std::string> command(const std::string& name,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {name, "--config", "iris.yaml"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Waits until the run has written `rows` epochs.
  void wait_for_rows(size_t rows, const std::string& version = "version_0") const {
    const fs::path metrics = folder_ / "levin_logs" / version / "metrics.csv";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (lines_of(read_file(metrics)).size() <= rows &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

TEST_F(ProgramOutput, messages_that_cannot_be_written_never_stop_a_run) {
  const std::string loud =
      "levin fit -c iris.yaml --trainer.profiler=simple"
      " --trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_loss"
      " --trainer.callbacks.verbose=true";
  ASSERT_EQ(shell(loud), 0) << said();
  const std::string expected = read_file(folder_ / "levin_logs/version_0/metrics.csv");
  ASSERT_EQ(lines_of(expected).size(), 3U) << expected;  // a line of names, and two epochs
  int version = 0;
  for (const char* redirected :
       {" 2>/dev/full", " 2>&-", " >&- 2>&-", " <&- >&- 2>&-", " >/dev/full 2>&1"}) {
    EXPECT_EQ(shell(loud + redirected), 0) << redirected << said();
    const auto run_folder = folder_ / ("levin_logs/version_" + std::to_string(++version));
    EXPECT_EQ(read_file(run_folder / "metrics.csv"), expected) << redirected;
    EXPECT_TRUE(fs::exists(run_folder / "config.yaml")) << redirected;
  }
  if (has_gloo()) {
    EXPECT_EQ(shell(loud + " --trainer.devices=2 2>/dev/full"), 0) << said();
  }
  // `head` is gone after the first byte.
  EXPECT_EQ(shell("{ " + loud + "; echo $? > status; } 2>&1 | head -c 1"), 0);
  EXPECT_EQ(read_file(folder_ / "status"), "0\n");
}

TEST_F(ProgramOutput, results_that_cannot_be_written_are_an_error) {
  ASSERT_EQ(shell("levin fit -c iris.yaml"), 0) << said();
  for (const std::string result :
       {"levin fit -c iris.yaml --json", "levin test -c iris.yaml --ckpt-path last --json",
        "levin validate -c iris.yaml --ckpt-path last --json",
        "levin predict -c iris.yaml --ckpt-path last --json -o p.npz",
        "levin fit -c iris.yaml --print-config", "levin plot levin_logs/version_0", "levin list",
        "levin help LogisticRegression", "levin --help", "levin --version"}) {
    EXPECT_EQ(shell(result + " >/dev/full"), 1) << result << "\n" << said();
    EXPECT_NE(said().find("error: can't write to 'standard output': "), std::string::npos)
        << result << "\n"
        << said();
  }
  if (has_gloo()) {
    EXPECT_EQ(shell("levin fit -c iris.yaml --trainer.devices=2 --json >/dev/full"), 1) << said();
  }
  for (const std::string result : {"levin list", "levin fit -c iris.yaml --print-config"}) {
    EXPECT_EQ(shell(result + " >&-"), 1) << result << "\n" << said();
  }
}

TEST_F(ProgramOutput, a_closed_stdout_is_noticed_before_the_work) {
  EXPECT_EQ(shell("levin fit -c iris.yaml --json >&-"), 1) << said();
  EXPECT_EQ(contents(), std::vector<std::string>{"iris.yaml"});
}

TEST_F(ProgramOutput, a_file_size_limit_is_an_error_and_no_signal) {
  EXPECT_EQ(shell("ulimit -f 4 && levin fit -c iris.yaml --trainer.enable_progress_bar=false "
                  "--trainer.enable_model_summary=false"),
            1)
      << said();
  EXPECT_NE(said().find("File too large"), std::string::npos) << said();
}

TEST_F(ProgramOutput, a_run_folder_removed_during_the_run_is_made_again) {
  const pid_t child = start(command("fit", {"--trainer.max_epochs=1000000"}));
  wait_for_rows(10);
  const fs::path run_folder = folder_ / "levin_logs/version_0";
  ASSERT_TRUE(test::eventually([&] {  // the run may write while this removes
    std::error_code error;
    fs::remove_all(run_folder, error);
    return !error;
  }));
  wait_for_rows(10);
  ::kill(child, SIGINT);
  const Outcome ended = wait(child);
  EXPECT_EQ(ended.status, 130) << ended.err;
  EXPECT_NE(ended.err.find("metrics.csv was removed or replaced"), std::string::npos) << ended.err;
  const auto rows = lines_of(read_file(run_folder / "metrics.csv"));
  ASSERT_GT(rows.size(), 10U);
  EXPECT_EQ(rows[1].substr(0, 2), "0,") << rows[1];
  for (const char* name : {"config.yaml", "hparams.yaml", "checkpoints/interrupted.ckpt"}) {
    EXPECT_TRUE(fs::exists(run_folder / name)) << name;
  }
}

TEST_F(ProgramOutput, two_ctrl_c_at_once_and_a_closed_terminal_leave_a_checkpoint) {
  const DefaultHangup hangup;
  int version = 0;
  for (const auto& signals : {std::vector<int>{SIGINT, SIGINT}, std::vector<int>{SIGHUP, SIGHUP}}) {
    const pid_t child = start(command("fit", {"--trainer.max_epochs=1000000", "--json"}));
    const std::string name = "version_" + std::to_string(version++);
    wait_for_rows(5, name);
    for (const int each : signals) ::kill(child, each);
    const Outcome ended = wait(child);
    EXPECT_EQ(ended.status, 130) << ended.err;
    EXPECT_TRUE(fs::exists(folder_ / "levin_logs" / name / "checkpoints/interrupted.ckpt"));
    EXPECT_EQ(ended.json().at("stop_reason"), Value("interrupted"));
  }
}

TEST_F(ProgramOutput, a_rank_that_waits_for_others_says_so_and_one_signal_ends_it) {
  const std::string waits_as_rank_0 =
      "SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_NODEID=0 SLURM_LOCALID=0 "
      "SLURM_NNODES=1 SLURM_STEP_NODELIST=localhost SLURM_TASKS_PER_NODE=4 '" LEVIN_BINARY_DIR
      "/bin/levin' fit -c iris.yaml 2> waits & rank=$!; i=0; "
      "until grep -q 'waits for' waits || test $i = 1200; do sleep 0.05; i=$((i+1)); done; "
      "kill -TERM $rank; wait $rank";
  EXPECT_EQ(shell(waits_as_rank_0), 128 + SIGTERM) << said();
  const std::string text = read_file(folder_ / "waits");
  for (const char* part : {"rank 0 of 4 (SLURM started it) waits for ranks 1, 2, 3",
                           "to train alone in this shell, unset SLURM_PROCID"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(ProgramOutput, a_tilde_and_HOME_in_a_path_are_the_home_folder) {
  fs::create_directory(folder_ / "home");
  const std::string home = "HOME='" + folder_.string() + "/home'; export HOME; ";
  write("home/more.yaml", "trainer: {default_root_dir: ~/runs}\n");
  write("home/rows.csv",
        "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.1,5.6,2.4\n");
  EXPECT_EQ(shell(home + "levin fit -c iris.yaml '--config=~/more.yaml' "
                         "--trainer.callbacks+=ModelCheckpoint "
                         "'--trainer.callbacks.dirpath=$HOME/best'"),
            0)
      << said();
  EXPECT_TRUE(fs::exists(folder_ / "home/runs/levin_logs/version_0/metrics.csv"));
  ASSERT_FALSE(fs::is_empty(folder_ / "home/best"));
  const std::string saved = fs::directory_iterator(folder_ / "home/best")->path().filename();
  EXPECT_EQ(shell(home + "levin predict '--ckpt-path=~/best/" + saved +
                  "' --data ArrayDataModule '--data.x=~/rows.csv' --data.target_column=none "
                  "'--output=~/p.npz'"),
            0)
      << said();
  EXPECT_TRUE(fs::exists(folder_ / "home/p.npz"));
  EXPECT_EQ(shell(home + "levin plot '~/runs/levin_logs/version_0'"), 0) << said();
  for (const auto& name : contents()) {
    EXPECT_EQ(name.find_first_of("~$"), std::string::npos) << name;
  }
}

TEST_F(ProgramOutput, what_another_shell_would_replace_is_refused_before_anything_is_written) {
  for (const char* path : {"$SCRATCH/runs", "~nobody-here/runs"}) {
    const auto before = contents();
    expect_error(command("fit", {std::string("--trainer.default_root_dir=") + path}), 2,
                 "only ~ and $HOME");
    EXPECT_EQ(contents(), before);
  }
}

TEST_F(ProgramOutput, what_is_no_file_or_too_large_is_named_early) {
  const auto before = contents();
  expect_error({"fit", "--config", "/dev/zero"}, 2, "'/dev/zero': it holds more than");
  expect_error(command("test", {"--ckpt-path=/dev/zero"}), 1, "'/dev/zero': it is no regular file");
  expect_error({"predict", "--data", "IrisDataModule", "--ckpt-path=/dev/zero"}, 1,
               "'/dev/zero': it is no regular file");
  for (const std::string& long_path : {std::string(300, 'x'), std::string(5000, 'x')}) {
    expect_error(command("test", {"--ckpt-path=" + long_path}), 1, "can't read 'xxx");
  }
  write("sparse.ckpt", "");
  std::error_code refused;
  fs::resize_file(folder_ / "sparse.ckpt", uintmax_t{20} << 30, refused);
  if (!refused) {
    expect_error(command("test", {"--ckpt-path=sparse.ckpt"}), 1, "isn't a whole checkpoint");
  }
  fs::remove(folder_ / "sparse.ckpt");
  for (const std::string& pattern : {std::string(300, 'x'), std::string("'{epoch:999999999d}'")}) {
    expect_error(command("fit", {"--trainer.callbacks+=ModelCheckpoint",
                                 "--trainer.callbacks.filename=" + pattern}),
                 2, "ModelCheckpoint.filename");
  }
  EXPECT_EQ(contents(), before);
}

}  // namespace levin::test::output_test
