#include <levin/framework/trainer/job_restarts.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <string>

#include <levin/framework/core/files.h>
#include <levin/framework/strategies/single_device.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::job_restarts_test {

/// A fit of a job that its launcher may restart, whose runs are in a folder of the test's own.
class JobRestart : public ::testing::Test {
 protected:
  JobRestart() {
    run_.set_runs_folder(folder_.path());
    cluster_.may_restart = true;
    cluster_.run_id = "job";
    for (const char* name : {"a.ckpt", "b.ckpt"}) {
      files::write_atomically(folder_.path() / name, "a checkpoint");
    }
  }

  /// Begins a fit, and returns what is said while `work` runs.
  std::string said_by(const std::function<void(JobRestarts&)>& work) {
    SingleDeviceStrategy strategy(at::kCPU, cluster_);
    JobRestarts restarts(run_);
    EXPECT_EQ(restarts.begin_fit(strategy, ""), "");
    ::testing::internal::CaptureStderr();
    work(restarts);
    return ::testing::internal::GetCapturedStderr();
  }

  test::TemporaryFolder folder_;
  RunControl run_;
  Cluster cluster_;
};

TEST_F(JobRestart, a_record_that_cannot_be_written_is_a_warning_and_no_end) {
  files::inject_faults([](const auto& each) { return each.name == "write" ? ENOSPC : 0; });
  const std::string said = said_by([&](JobRestarts& restarts) {
    run_.saved(folder_.path() / "a.ckpt");
    run_.saved(folder_.path() / "b.ckpt");
    restarts.end_fit(/*interrupted=*/false);
  });
  files::inject_faults({});
  EXPECT_TRUE(
      test::says(said, {"warning: can't write", ".restart-job.json", "earlier checkpoint"}));
  EXPECT_EQ(said.find("warning"), said.rfind("warning")) << said;
}

TEST_F(JobRestart, a_checkpoint_that_a_restart_would_not_trust_is_a_warning) {
  const test::TemporaryFolder elsewhere;
  files::write_atomically(elsewhere.path() / "c.ckpt", "a checkpoint");
  const std::string said = said_by([&](JobRestarts&) {
    run_.saved(folder_.path() / "a.ckpt");
    run_.saved(elsewhere.path() / "c.ckpt");
  });
  EXPECT_TRUE(test::says(said, {"warning: can't note for restarts", "c.ckpt", "ModelCheckpoint"}));
  EXPECT_EQ(said.find("a.ckpt"), std::string::npos) << said;
}

TEST_F(JobRestart, a_long_name_of_a_job_is_no_problem) {
  cluster_.run_id = std::string(400, 'j');
  const std::string said = said_by([&](JobRestarts&) { run_.saved(folder_.path() / "a.ckpt"); });
  EXPECT_EQ(said, "");
}

}  // namespace levin::job_restarts_test
