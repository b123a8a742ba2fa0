// The lock of a journal file; Optuna's half of the promise is tested with Optuna in
// study_file_test.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/study/journal_lock.h>
#include <levin/tuning/study/process_identity.h>

#include "framework/temporary_folder.h"

namespace levin::journal_lock_test {

std::filesystem::path new_file(const test::TemporaryFolder& folder) {
  const auto path = folder / "study.log";
  std::ofstream(path) << "";
  return path;
}

class InjectedClock {
 public:
  /// Each reading of the clock shows `step` seconds more than the last one.
  explicit InjectedClock(double step) {
    files::inject_clock([this, step] { return now_ += step; });
  }
  ~InjectedClock() { files::inject_clock({}); }
  InjectedClock(const InjectedClock&) = delete;
  InjectedClock& operator=(const InjectedClock&) = delete;

 private:
  double now_ = 0.0;
};

TEST(JournalLock, is_a_link_that_leads_to_the_file_as_optuna_expects) {
  const test::TemporaryFolder folder;
  const auto path = new_file(folder);
  JournalLock lock(path);
  lock.acquire();
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
  EXPECT_TRUE(std::filesystem::equivalent(folder / "study.log.lock", path));
  EXPECT_TRUE(lock.release());
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "study.log.lock"));
  EXPECT_FALSE(lock.release()) << "it isn't held";
}

TEST(JournalLock, is_held_until_it_has_been_released_as_often_as_it_was_acquired) {
  const test::TemporaryFolder folder;
  JournalLock lock(new_file(folder));
  for (int i = 0; i < 2; ++i) {
    const JournalLockGuard outer(lock);
    const auto link = std::filesystem::read_symlink(folder / "study.log.lock");
    {
      const JournalLockGuard inner(lock);
      EXPECT_EQ(std::filesystem::read_symlink(folder / "study.log.lock"), link);
    }
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
    lock.acquire();
    EXPECT_TRUE(lock.release());
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
  }
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "study.log.lock"));
}

TEST(JournalLock, is_taken_over_from_a_killed_process_without_waiting) {
  const test::TemporaryFolder folder;
  const auto path = new_file(folder);
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    JournalLock lock(path);
    lock.acquire();
    [[maybe_unused]] const auto told = ::write(pipe[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  const auto held = std::filesystem::read_symlink(folder / "study.log.lock");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
  const InjectedClock stopped(0.0);  // no lock is ever taken for abandoned
  JournalLock lock(path);
  lock.acquire();
  EXPECT_NE(std::filesystem::read_symlink(folder / "study.log.lock"), held);
  EXPECT_FALSE(std::filesystem::is_symlink(folder / held.string())) << "the dead owner's link";
  EXPECT_TRUE(lock.release());
}

TEST(JournalLock, is_taken_from_anyone_who_hasnt_written_for_thirty_seconds) {
  const test::TemporaryFolder folder;
  const auto path = new_file(folder);
  for (const std::string& target : {path.string(), std::string("no/such/study.log")}) {
    std::filesystem::create_symlink(target, folder / "study.log.lock");
    const InjectedClock hurried(16.0);
    JournalLock lock(path);
    lock.acquire();
    EXPECT_NE(std::filesystem::read_symlink(folder / "study.log.lock"), target);
    EXPECT_TRUE(lock.release());
  }
  std::ofstream(folder / "study.log.lock") << "";  // Optuna's JournalFileOpenLock makes a file
  const InjectedClock hurried(16.0);
  JournalLock lock(path);
  lock.acquire();
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
}

TEST(JournalLock, is_not_given_back_by_a_process_that_has_lost_it) {
  const test::TemporaryFolder folder;
  const auto path = new_file(folder);
  JournalLock slow(path);
  JournalLock next(path);
  slow.acquire();
  std::filesystem::remove(folder / "study.log.lock");  // as if it had been abandoned
  next.acquire();
  EXPECT_FALSE(slow.release());
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
  EXPECT_TRUE(next.release());
  EXPECT_THROW(JournalLock(folder / "missing" / "study.log"), CheckpointError);
}

TEST(ProcessIdentity, only_a_process_of_this_machine_can_be_known_to_be_dead) {
  const std::string own = process_identity();
  EXPECT_FALSE(is_dead_process(own));
  EXPECT_TRUE(is_dead_process(own + "1")) << "another start: the number is used again";
  EXPECT_FALSE(is_dead_process("x" + own)) << "another machine";
  EXPECT_FALSE(is_dead_process("a.b-1-2"));
  EXPECT_FALSE(is_dead_process(""));
  EXPECT_FALSE(is_dead_process(own.substr(0, own.rfind('-'))));
  EXPECT_FALSE(is_dead_process(own + "x"));
  EXPECT_TRUE(is_process_elsewhere("x" + own));
  EXPECT_TRUE(is_process_elsewhere("a.b-1-2"));
  EXPECT_FALSE(is_process_elsewhere(own));
  EXPECT_FALSE(is_process_elsewhere(own + "1")) << "it is dead, but was here";
  EXPECT_FALSE(is_process_elsewhere("a.b-1"));
  EXPECT_FALSE(is_process_elsewhere(""));
}

}  // namespace levin::journal_lock_test
