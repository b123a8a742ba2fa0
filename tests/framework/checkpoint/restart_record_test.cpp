#include <sys/stat.h>

#include <gtest/gtest.h>

#include <levin/framework/checkpoint/restart_record.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::test::restart_record_test {

namespace fs = std::filesystem;

class Restarts : public ::testing::Test {
 protected:
  fs::path saved(const std::string& name) const {
    const auto path = folder_.path() / name;
    files::write_atomically(path, "a checkpoint");
    return path;
  }
  RestartRecord first() const { return RestartRecord(folder_.path(), "job", false); }
  RestartRecord again() const { return RestartRecord(folder_.path(), "job", true); }

  TemporaryFolder folder_;
};

TEST_F(Restarts, find_what_each_fit_of_the_program_saved_last) {
  auto record = first();
  EXPECT_EQ(record.checkpoint(0), fs::path());
  record.saved(0, saved("a.ckpt"));
  record.saved(0, saved("b.ckpt"));
  record.ended(0);
  record.saved(1, saved("c.ckpt"));
  EXPECT_EQ(again().checkpoint(0), folder_.path() / "b.ckpt");
  EXPECT_EQ(again().checkpoint(1), folder_.path() / "c.ckpt");
  EXPECT_EQ(again().checkpoint(2), fs::path());
}

TEST_F(Restarts, pass_over_a_checkpoint_that_is_gone) {
  first().saved(0, saved("a.ckpt"));
  fs::remove(folder_.path() / "a.ckpt");
  EXPECT_EQ(again().checkpoint(0), fs::path());
}

TEST_F(Restarts, a_broken_record_is_named_with_the_remedy) {
  first().saved(0, saved("a.ckpt"));
  const auto path = again().path();
  for (const char* broken : {"{", "[]", "3", R"({"0": {"checkpoint": 7}})"}) {
    files::write_atomically(path, broken);
    const auto message = message_of<CheckpointError>([&] { again().checkpoint(0); });
    EXPECT_TRUE(says(message, {path.string(), "remove it", "ckpt_path"}));
  }
}

TEST_F(Restarts, a_record_that_is_a_pipe_is_refused_instead_of_waited_for) {
  ASSERT_EQ(::mkfifo(again().path().c_str(), 0600), 0);
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { again().checkpoint(0); }),
                   {again().path().string(), "no regular file", "remove it"}));
}

TEST_F(Restarts, a_job_that_came_to_its_end_begins_anew_under_its_name) {
  first().saved(0, saved("a.ckpt"));
  // A host was lost, which torchrun doesn't count as a restart.
  EXPECT_EQ(first().checkpoint(0), folder_.path() / "a.ckpt");
  first().ended(0);
  EXPECT_EQ(first().checkpoint(0), fs::path());
}

TEST_F(Restarts, a_name_that_all_jobs_share_is_trusted_in_restarts_only) {
  RestartRecord(folder_.path(), "none", false, false).saved(0, saved("a.ckpt"));
  EXPECT_EQ(RestartRecord(folder_.path(), "none", true, false).checkpoint(0),
            folder_.path() / "a.ckpt");
  EXPECT_EQ(RestartRecord(folder_.path(), "none", false, false).checkpoint(0), fs::path());
}

TEST_F(Restarts, go_on_only_from_a_checkpoint_in_a_folder_of_the_job) {
  const TemporaryFolder elsewhere;
  const auto foreign = elsewhere.path() / "a.ckpt";
  files::write_atomically(foreign, "a checkpoint");
  EXPECT_FALSE(first().saved(0, foreign));
  EXPECT_EQ(again().checkpoint(0), fs::path()) << "it isn't recorded";
  RestartRecord known(folder_.path(), "job", true, true, {elsewhere.path()});
  EXPECT_TRUE(known.saved(0, foreign));
  EXPECT_EQ(known.checkpoint(0), foreign);
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { again().checkpoint(0); }),
                   {".restart-job.json", foreign.string(), "remove the first file"}));
}

TEST_F(Restarts, jobs_know_nothing_of_each_other_whatever_their_names) {
  RestartRecord(folder_.path(), "10.0.0.1:29500/x", false).saved(0, saved("a.ckpt"));
  EXPECT_EQ(again().checkpoint(0), fs::path());
  EXPECT_EQ(RestartRecord(folder_.path(), "10.0.0.1:29500/x", true).checkpoint(0),
            folder_.path() / "a.ckpt");
}

}  // namespace levin::test::restart_record_test
