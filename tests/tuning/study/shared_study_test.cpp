// Hosts that share a study's file. Name spaces of processes make two of one machine: their
// processes can't see each other, as those of real hosts.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/core/files.h>
#include <levin/tuning/study/process_identity.h>
#include <levin/tuning/study/silent_processes.h>
#include <levin/tuning/study/study_file.h>

#include "framework/eventually.h"
#include "framework/temporary_folder.h"

namespace levin::shared_study_test {

constexpr int kNoNameSpaces = 77;

/// Runs the work in the first process of a host of that name, which is killed with all of its
/// processes when the returned process ends.
pid_t start_host(const std::string& name, const std::function<void()>& work) {
  const pid_t outer = ::fork();
  if (outer != 0) return outer;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::unshare(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET) != 0) {
    ::_exit(kNoNameSpaces);
  }
  const pid_t first = ::fork();
  if (first == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool is_host = ::sethostname(name.c_str(), name.size()) == 0 &&
                         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
    if (!is_host) ::_exit(kNoNameSpaces);
    work();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(first, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int exit_status_of(pid_t process) {
  int status = 0;
  ::waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A host that does something, says so, and stands still until it is killed.
class StoppedHost {
 public:
  explicit StoppedHost(const std::function<void()>& work) {
    int pipe[2];
    if (::pipe(pipe) != 0) return;
    process_ = start_host("first", [&] {
      work();
      [[maybe_unused]] const auto told = ::write(pipe[1], "x", 1);
      for (;;) ::pause();
    });
    ::close(pipe[1]);
    char byte = 0;
    works_ = ::read(pipe[0], &byte, 1) == 1;
    ::close(pipe[0]);
  }
  ~StoppedHost() { die(); }
  StoppedHost(const StoppedHost&) = delete;
  StoppedHost& operator=(const StoppedHost&) = delete;

  bool works() const { return works_; }
  void die() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      exit_status_of(process_);
    }
    process_ = -1;
  }

 private:
  pid_t process_ = -1;
  bool works_ = false;
};

/// Shows the seconds that the test sets, to which each reading adds a step.
class SetClock {
 public:
  explicit SetClock(double step = 0.0) {
    files::inject_clock([this, step] { return now += step; });
  }
  ~SetClock() { files::inject_clock({}); }
  SetClock(const SetClock&) = delete;
  SetClock& operator=(const SetClock&) = delete;
  double now = 1.0;
};

void run_some_trials(const std::filesystem::path& path, int64_t study, int trials) {
  StudyFile file(path);
  for (int i = 0; i < trials; ++i) {
    const int64_t trial = file.create_trial(study);
    file.update(trial, {.intermediate_values = {{0, 0.5}}});
    file.finish(trial, TrialState::complete, {1.0});
  }
}

std::string realm_of(std::string_view worker) {
  const auto identity = worker.substr(worker.find('@') + 1);
  return std::string(identity.substr(0, identity.find('-')));
}

TEST(SharedStudy, two_hosts_with_one_file_lose_no_trial) {
  constexpr int kTrials = 12;
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("shared", {StudyDirection::minimize});
  std::vector<pid_t> hosts;
  for (const char* name : {"first", "second"}) {
    hosts.push_back(start_host(name, [&] {
      const pid_t other = ::fork();
      run_some_trials(path, study, kTrials);
      if (other == 0) ::_exit(0);
      ::_exit(exit_status_of(other));
    }));
  }
  for (const pid_t host : hosts) {
    const int status = exit_status_of(host);
    if (status == kNoNameSpaces) GTEST_SKIP() << "no name spaces can be made here";
    EXPECT_EQ(status, 0);
  }
  file.refresh();
  std::set<std::string> realms;
  std::set<std::string> workers;
  const Study& shared = *file.contents().study(study);
  for (const Trial& trial : shared.trials) {
    EXPECT_EQ(trial.state, TrialState::complete) << trial.number;
    EXPECT_EQ(trial.intermediate_values.size(), 1U) << trial.number;
    workers.emplace(file.contents().worker_of(trial.id));
    realms.insert(realm_of(file.contents().worker_of(trial.id)));
  }
  EXPECT_EQ(shared.trials.size(), 4U * kTrials);
  EXPECT_EQ(workers.size(), 4U);
  EXPECT_EQ(realms.size(), 2U) << "the hosts are different ones";
}

TEST(SharedStudy, processes_that_add_trials_at_once_stop_together_at_a_limit) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("limited", {StudyDirection::minimize});
  std::vector<pid_t> processes;
  for (int i = 0; i < 3; ++i) {
    processes.push_back(::fork());
    if (processes.back() != 0) continue;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    StudyFile own(path);
    const auto is_wanted = [](const Study& now) { return now.trials.size() < 20; };
    while (own.create_trial_if(study, is_wanted)) {
      if (!own.enqueue_trial_if(study, {}, is_wanted)) break;
    }
    ::_exit(0);
  }
  for (const pid_t process : processes) EXPECT_EQ(exit_status_of(process), 0);
  file.refresh();
  EXPECT_EQ(file.contents().study(study)->trials.size(), 20U);
}

TEST(SharedStudy, a_file_that_is_held_gets_no_trial_of_anyone_else) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("s", {StudyDirection::minimize});
  std::atomic<bool> has_begun{false};
  std::thread other;
  int64_t trial_of_other = -1;
  {
    const auto held = file.hold();
    other = std::thread([&] {
      StudyFile same(folder / "study.log");
      has_begun = true;
      trial_of_other = same.create_trial(study);
    });
    while (!has_begun) std::this_thread::yield();
    for (int64_t number = 0; number < 5; ++number) {
      EXPECT_EQ(file.create_trial(study), number);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // in which the other one tries
    }
  }
  other.join();
  EXPECT_EQ(trial_of_other, 5);
}

TEST(SharedStudy, the_lock_of_a_dead_host_is_taken_over_after_thirty_seconds) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("locked", {StudyDirection::minimize});
  StoppedHost host([&] {
    static JournalLock* const lock = new JournalLock(path);  // never destroyed: it is killed
    lock->acquire();
  });
  if (!host.works()) GTEST_SKIP() << "no name spaces can be made here";
  ASSERT_TRUE(std::filesystem::is_symlink(folder / "study.log.lock"));
  host.die();
  const SetClock hurried(16.0);  // the third look at the lock is more than 30 s after the first
  run_some_trials(path, study, 1);
  file.refresh();
  EXPECT_EQ(file.contents().study(study)->trials.at(0).state, TrialState::complete);
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "study.log.lock"));
}

TEST(SharedStudy, a_trial_of_a_dead_host_is_abandoned_after_two_minutes) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("silent", {StudyDirection::minimize});
  StoppedHost host([&] {
    static StudyFile* const own = new StudyFile(path);  // as above
    own->create_trial(study);
  });
  if (!host.works()) GTEST_SKIP() << "no name spaces can be made here";
  SetClock clock;
  EXPECT_EQ(file.abandoned_trials(study), std::vector<int64_t>());
  host.die();
  EXPECT_EQ(file.abandoned_trials(study), std::vector<int64_t>());
  clock.now += 2.0;  // the links are looked at once a second
  EXPECT_EQ(file.abandoned_trials(study), std::vector<int64_t>());
  clock.now += 117.0;
  EXPECT_EQ(file.abandoned_trials(study), std::vector<int64_t>());
  clock.now += 4.0;  // two minutes after the second look, before which it may have shown life
  EXPECT_EQ(file.abandoned_trials(study), (std::vector<int64_t>{0}));
  StudyFile another(path);
  EXPECT_EQ(another.abandoned_trials(study), std::vector<int64_t>()) << "it has just begun to look";
}

TEST(SharedStudy, a_process_elsewhere_that_renews_its_link_is_not_silent) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  const StudyFile file(path);
  const std::string process = "elsewhere.1-5-77";
  const auto link = folder / ("study.log.owner-" + process + ".0");
  std::filesystem::create_symlink("study.log", link);
  SetClock clock;
  SilentProcesses silent(path);
  EXPECT_FALSE(silent.contains(process));
  clock.now += 100.0;
  const auto set_time = [&](time_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, link.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  };
  set_time(1);  // by another clock, which is far behind
  EXPECT_FALSE(silent.contains(process));
  clock.now += 119.0;
  EXPECT_FALSE(silent.contains(process)) << "it was renewed after 100 s";
  std::filesystem::remove(link);
  clock.now += 1.5;
  EXPECT_FALSE(silent.contains(process)) << "a link that goes is a sign of life, too";
  clock.now += 121.0;
  EXPECT_TRUE(silent.contains(process));
  EXPECT_FALSE(silent.contains(process_identity())) << "this machine's processes can be asked";
  EXPECT_FALSE(silent.contains("no identity"));
}

TEST(SharedStudy, a_process_that_runs_trials_renews_its_link) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("s", {StudyDirection::minimize});
  std::filesystem::path link;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().string().find(".owner-") != std::string::npos) link = entry.path();
  }
  const auto inode = [&] {
    struct stat status {};
    EXPECT_EQ(::lstat(link.c_str(), &status), 0) << "it was away for a moment";
    return status.st_ino;
  };
  const auto before = inode();
  file.enqueue_trial(study, {});
  file.start_waiting(0);
  EXPECT_TRUE(test::eventually([&] { return inode() != before; }));
  EXPECT_EQ(std::filesystem::read_symlink(link), "study.log");
}

}  // namespace levin::shared_study_test
