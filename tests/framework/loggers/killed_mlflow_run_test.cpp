// What an MLflow server has of a run that was killed and resumed.
#include <levin/callbacks/lambda_callback.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/loggers/mlflow_logger.h>
#include <levin/framework/tensor/random.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "callbacks/fixture.h"
#include "framework/eventually.h"
#include "framework/fake_mlflow.h"

namespace levin::test::killed_mlflow_run_test {

/// Ten steps an epoch, two epochs with a validation each; a checkpoint after every fourth step.
/// Kills this process after step `kill_at`; with `sends`, the server has all values by then.
void train(const FakeMlflow& server, const fs::path& root, const std::string& from,
           int64_t kill_at = -1, bool sends = false) {
  seed_everything(3);
  PointsModule data(40, {.batch_size = 4, .shuffle = true, .seed = 7});
  Classifier model(0.2);
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 2,
                   .log_every_n_steps = 1,
                   .threads = 1,
                   .default_root_dir = root.string()});
  trainer.add_logger<MlflowLogger>({.tracking_uri = server.uri(), .finish_timeout = 3600.0});
  trainer.add<ModelCheckpoint>({.every_n_train_steps = 4});
  trainer.add<LambdaCallback>({.on_train_batch_start = [&](const Batch&, Step& step) {
    if (step.global_step() != kill_at) return;
    const auto has_sent_all = [&] {
      const StateDict state = step.run().loggers().front()->state_dict();
      return state.child("unsent").values.at("names").as_array().empty();
    };
    if (sends && !eventually(has_sent_all)) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }});
  trainer.fit(model, data, from);
}

/// The same in a process of its own.
void train_until_killed(const FakeMlflow& server, const fs::path& root, int64_t kill_at,
                        bool sends) {
  const pid_t child = ::fork();
  if (child == 0) {
    train(server, root, "", kill_at, sends);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

/// [name, step, value] of each value of a metric that the server has, and the settings; sorted. A
/// setting that is sent again with the same value is one for MLflow.
std::vector<std::string> contents(const FakeMlflow& server) {
  std::vector<std::string> found;
  for (const auto& point : server.logged("metrics")) {
    found.push_back(Json{point.at("key"), point.at("step"), point.at("value")}.dump());
  }
  std::set<std::string> params;
  for (const auto& param : server.logged("params")) params.insert(param.dump());
  found.insert(found.end(), params.begin(), params.end());
  std::sort(found.begin(), found.end());
  return found;
}

TEST(KilledMlflowRun, resumed_from_its_last_checkpoint_leaves_the_values_of_an_undisturbed_one) {
  const TemporaryFolder folder;  // the same one for all, because settings name it
  const FakeMlflow undisturbed;
  train(undisturbed, folder.path(), "");
  const auto whole = contents(undisturbed);
  EXPECT_GT(whole.size(), 60u);
  for (const auto& [kill_at, last] :
       {std::pair(6, "epoch=0-step=4.ckpt"), std::pair(15, "epoch=1-step=12.ckpt")}) {
    for (const std::string server_is : {"up", "up, and has all values", "down until the resume"}) {
      SCOPED_TRACE(::testing::Message()
                   << "killed after step " << kill_at << "; the server is " << server_is);
      fs::remove_all(folder / "levin_logs");
      std::atomic<bool> is_down{server_is.starts_with("down")};
      const FakeMlflow server([&](const Request&) { return is_down ? 503 : 0; });
      train_until_killed(server, folder.path(), kill_at, server_is.ends_with("values"));
      is_down = false;
      train(server, folder.path(), (folder / "levin_logs/version_0/checkpoints" / last).string());
      const auto has = contents(server);
      std::vector<std::string> different;  // missing, or there too often
      std::set_symmetric_difference(has.begin(), has.end(), whole.begin(), whole.end(),
                                    std::back_inserter(different));
      EXPECT_EQ(different, std::vector<std::string>());
    }
  }
}

}  // namespace levin::test::killed_mlflow_run_test
