#include <levin/framework/trainer/job_restarts.h>

#include <gtest/gtest.h>

#include <cerrno>

#include <levin/framework/core/files.h>
#include <levin/framework/strategies/single_device.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::job_restarts_test {

TEST(JobRestart, a_record_that_cannot_be_written_is_a_warning_and_no_end) {
  const test::TemporaryFolder folder;
  RunControl run;
  run.set_runs_folder(folder.path());
  Cluster cluster;
  cluster.may_restart = true;
  cluster.run_id = "job";
  SingleDeviceStrategy strategy(at::kCPU, cluster);
  JobRestarts restarts(run);
  EXPECT_EQ(restarts.begin_fit(strategy, ""), "");
  files::inject_faults([](const auto& each) { return each.name == "write" ? ENOSPC : 0; });
  ::testing::internal::CaptureStderr();
  run.saved(folder.path() / "a.ckpt");
  run.saved(folder.path() / "b.ckpt");
  restarts.end_fit(/*interrupted=*/false);
  files::inject_faults({});
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(
      test::says(said, {"warning: can't write", ".restart-job.json", "earlier checkpoint"}));
  EXPECT_EQ(said.find("warning"), said.rfind("warning")) << said;
}

}  // namespace levin::job_restarts_test
