#include <gtest/gtest.h>

#include <set>

#include "framework/default_hangup.h"
#include "framework/launch/launcher_fixture.h"
#include "framework/message_of.h"

#include <nlohmann/json.hpp>

#include <levin/framework/core/files.h>
#include <levin/framework/launch/failure_report.h>

namespace levin::test::launcher_failure_test {

class LauncherFailureTest : public LauncherTest {
 protected:
  /// A file as report_failure writes it, for ranks to copy to their LEVIN_ERROR_FILE.
  void make_report(const std::string& name, const std::string& message, bool because_of_another) {
    ::setenv("LEVIN_ERROR_FILE", (folder_ / name).c_str(), 1);
    report_failure(message, because_of_another);
    ::unsetenv("LEVIN_ERROR_FILE");
  }
  static constexpr const char* kReport =
      "mkdir -p ${LEVIN_ERROR_FILE%/*}; cp report.$RANK $LEVIN_ERROR_FILE; ";
  /// `gone 1` waits until the launcher knows that rank 1 has ended.
  static constexpr const char* kGone = R"(echo $$ > pid.$RANK
    gone() {
      until [ -s pid.$1 ]; do sleep 0.01; done
      while kill -0 $(cat pid.$1) 2>/dev/null; do sleep 0.01; done
    }
    )";

  /// Stops the launcher's clock: the time that it gives the other ranks after a failure never ends.
  static void stop_clock() {
    files::inject_clock([now = files::monotonic_seconds()] { return now; });
  }
};

TEST_F(LauncherFailureTest, returns_the_failing_ranks_status) {
  auto ended = run(ranks(3, "[ $RANK = 1 ] && exit 7; sleep 3600"));
  EXPECT_EQ(ended.status, 7);
  EXPECT_EQ(ended.err, "rank 1 failed: exit status 7\n");
  ended = run(ranks(1, "exit 3"));
  EXPECT_EQ(ended.status, 3);
}

// Row 49: a failed rank ends all, with its number.
TEST_F(LauncherFailureTest, ends_all_after_a_kill) {
  for (const char* victim : {"pid.0", "pid.2"}) {
    fs::remove(folder_ / "err");
    const pid_t supervisor =
        start(ranks(3, "trap '' TERM INT; echo $$ > pid.$RANK; sleep 3600; sleep 3600"));
    for (const char* name : {"pid.0", "pid.1", "pid.2"}) process(name);
    ASSERT_EQ(::kill(process(victim), SIGKILL), 0);
    const auto ended = wait(supervisor);
    EXPECT_EQ(ended.status, 128 + SIGKILL);
    EXPECT_EQ(ended.err,
              std::string("rank ") + victim[4] + " failed: killed by signal 9 (Killed)\n");
    EXPECT_TRUE(has_no_children());
    for (const char* name : {"pid.0", "pid.1", "pid.2"}) fs::remove(folder_ / name);
  }
}

TEST_F(LauncherFailureTest, says_a_ranks_own_message_last) {
  make_report("report.1", "DataError: row 7 holds NaN\n  in x.csv\n", false);
  const auto ended = run(ranks(2, std::string("echo noise >&2; [ $RANK = 0 ] && sleep 3600; ") +
                                      kReport + "echo more >&2; exit 1"));
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: DataError: row 7 holds NaN   in x.csv");
  EXPECT_TRUE(says(ended.err, {"[rank 1] more\n"}));
}

TEST_F(LauncherFailureTest, names_the_true_first_failure) {
  make_report("report.0", "connection closed by peer", true);
  make_report("report.2", "the true one", false);
  auto options = ranks(3, std::string(kGone) + "[ $RANK = 1 ] && { gone 2; exit 0; }; " +
                              "[ $RANK = 2 ] && gone 0; " + kReport + "exit $((RANK + 1))");
  for (const double grace : {1.0, 0.0}) {
    options.grace_seconds = grace;
    const auto ended = run(options, stop_clock);
    for (const char* name : {"pid.0", "pid.2"}) fs::remove(folder_ / name);
    EXPECT_EQ(last_line(ended.err), "rank 2 failed: the true one");
    EXPECT_EQ(ended.status, 3);
  }
}

TEST_F(LauncherFailureTest, names_a_killed_rank_before_those_that_noticed) {
  make_report("report.0", "connection closed by peer", true);
  auto options = ranks(
      2, std::string(kGone) + "[ $RANK = 1 ] && { gone 0; kill -SEGV $$; }; " + kReport + "exit 1");
  options.grace_seconds = 0;
  const auto ended = run(options, stop_clock);
  EXPECT_EQ(ended.status, 128 + SIGSEGV);
  EXPECT_TRUE(says(last_line(ended.err), {"rank 1 failed: killed by signal 11 (Segmentation"}));
}

TEST_F(LauncherFailureTest, goes_by_when_ranks_failed_not_when_they_ended) {
  make_report("report.1", "earlier", false);
  make_report("report.0", "later", false);
  const auto ended = run(ranks(2, std::string("[ $RANK = 1 ] && trap '' TERM; ") + kReport + R"(
    [ $RANK = 1 ] && { touch reported; sleep 3600; }
    until [ -e reported ]; do sleep 0.01; done; exit 1)"));
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: earlier");
  EXPECT_EQ(ended.status, 1);
}

TEST_F(LauncherFailureTest, says_so_where_the_cause_is_elsewhere) {
  make_report("report.0", "connection closed by peer", true);
  const auto ended = run(ranks(1, std::string(kReport) + "exit 1"));
  EXPECT_EQ(ended.err,
            "rank 0 failed: connection closed by peer (as a consequence of another rank's "
            "failure)\n");
}

/// Counts the signals it gets, for a while after the first, and ends with 130.
constexpr const char* kCountsSignals = R"(n=0
  trap 'n=$((n+1)); echo $n > signals.$RANK' INT TERM HUP
  echo $$ > pid.$RANK
  while [ $n = 0 ]; do sleep 0.02; done
  i=0; while [ $i -lt 10 ]; do sleep 0.02; i=$((i+1)); done
  touch saved.$RANK; exit 130)";

TEST_F(LauncherFailureTest, passes_a_signal_on_once_and_lets_all_save) {
  const DefaultHangup hangup;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    auto options = ranks(3, kCountsSignals);
    options.grace_seconds = 0;  // of failures: this is none
    const pid_t supervisor = start(options);
    for (const char* name : {"pid.0", "pid.1", "pid.2"}) process(name);
    ::kill(supervisor, signal);
    const auto ended = wait(supervisor);
    EXPECT_EQ(ended.status, 130);
    EXPECT_EQ(ended.err.find("failed"), std::string::npos) << ended.err;
    for (const std::string rank : {"0", "1", "2"}) {
      EXPECT_EQ(text("signals." + rank), "1\n");
      EXPECT_TRUE(has("saved." + rank));
      for (const char* name : {"pid.", "signals.", "saved."}) fs::remove(folder_ / (name + rank));
    }
  }
}

TEST_F(LauncherFailureTest, kills_at_the_second_signal) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t supervisor = start(ranks(2, R"(trap 'touch taken.$RANK' INT TERM
      echo $$ > pid.$RANK
      while :; do sleep 0.02; [ -e taken.$RANK ] && echo >> saves.$RANK; done)"));
    for (const char* name : {"pid.0", "pid.1"}) process(name);
    ::kill(supervisor, signal);
    for (const char* name : {"saves.0", "saves.1"}) {  // it lets them save
      EXPECT_TRUE(eventually([&] { return text(name).size() > 4; })) << name;
    }
    // Signals within a second belong to the first one.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    ::kill(supervisor, signal);
    EXPECT_EQ(wait(supervisor).status, 128 + signal);
    for (const std::string rank : {"0", "1"}) {
      for (const char* name : {"pid.", "taken.", "saves."}) fs::remove(folder_ / (name + rank));
    }
  }
}

TEST_F(LauncherFailureTest, takes_two_signals_at_once_for_one) {
  const pid_t supervisor = start(ranks(2, kCountsSignals));
  for (const char* name : {"pid.0", "pid.1"}) process(name);
  ::kill(supervisor, SIGINT);
  ::kill(supervisor, SIGINT);
  ::kill(supervisor, SIGHUP);  // a closed terminal is reported by the shell and by the system
  EXPECT_EQ(wait(supervisor).status, 130);
  for (const char* name : {"saved.0", "saved.1"}) EXPECT_TRUE(has(name)) << name;
}

TEST_F(LauncherFailureTest, takes_a_signal_before_ranks_heed_it_for_no_failure) {
  const pid_t supervisor = start(ranks(2, "echo $$ > pid.$RANK; sleep 3600"));
  for (const char* name : {"pid.0", "pid.1"}) process(name);
  ::kill(supervisor, SIGINT);
  const auto ended = wait(supervisor);
  EXPECT_EQ(ended.status, 130);
  EXPECT_EQ(ended.err, "");
}

TEST_F(LauncherFailureTest, waits_for_all_where_ranks_stop_by_themselves) {
  auto options = ranks(
      2, std::string(kGone) + "[ $RANK = 1 ] && { gone 0; sleep 0.2; touch saved; }; exit 130");
  options.grace_seconds = 0;
  options.max_restarts = 2;
  const auto ended = run(options);
  EXPECT_EQ(ended.status, 130);
  EXPECT_EQ(ended.err, "");
  EXPECT_TRUE(has("saved"));
}

TEST_F(LauncherFailureTest, takes_its_ranks_with_it_when_killed) {
  const pid_t supervisor =
      start(ranks(3, "trap '' TERM INT HUP; echo $$ > pid.$RANK; exec sleep 3600"));
  for (const char* name : {"pid.0", "pid.1", "pid.2"}) process(name);
  ::kill(supervisor, SIGKILL);
  EXPECT_EQ(wait(supervisor).status, 128 + SIGKILL);
  EXPECT_TRUE(has_no_children());
}

// Row 49.
TEST_F(LauncherFailureTest, starts_all_ranks_again) {
  auto options = ranks(2, R"(echo $MASTER_PORT $LEVIN_RUN_ID > place.$RANK.$LEVIN_RESTART_COUNT
    [ $LEVIN_RESTART_COUNT = 2 ] && exit 0; [ $RANK = 0 ] && exec sleep 3600
    until [ -s place.0.$LEVIN_RESTART_COUNT ]; do sleep 0.01; done; exit 5)");
  options.grace_seconds = 0.05;
  options.max_restarts = 3;
  auto ended = run(options);
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.err,
            "rank 1 failed: exit status 5; restarting all ranks (restart 1 of 3)\n"
            "rank 1 failed: exit status 5; restarting all ranks (restart 2 of 3)\n");
  EXPECT_EQ(text("place.0.2"), text("place.1.2"));
  EXPECT_NE(text("place.0.0"), text("place.0.1"));  // another port
  EXPECT_FALSE(has("place.0.3"));

  fs::remove(folder_ / "err");
  options.max_restarts = 1;
  ended = run(options);
  EXPECT_EQ(ended.status, 5);
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: exit status 5");
  EXPECT_EQ(lines_of(ended.err).size(), 2U);
}

TEST_F(LauncherFailureTest, doesnt_start_again_what_would_fail_again) {
  auto options = ranks(2, "echo x >> starts.$RANK; [ $RANK = 0 ] && exec sleep 3600; exit 2");
  options.grace_seconds = 0.05;
  options.max_restarts = 3;
  const auto ended = run(options);
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err, "rank 1 failed: exit status 2\n");
  EXPECT_EQ(text("starts.1"), "x\n");
}

TEST_F(LauncherFailureTest, doesnt_start_again_after_an_interrupt) {
  auto options =
      ranks(2, "trap 'exit 1' INT; echo x >> starts.$RANK; while :; do sleep 0.02; done");
  options.max_restarts = 3;
  const pid_t supervisor = start(options);
  for (const char* name : {"starts.0", "starts.1"}) process(name);
  ::kill(supervisor, SIGINT);
  EXPECT_EQ(wait(supervisor).status, 1);  // they failed to save
  EXPECT_EQ(text("starts.0"), "x\n");
}

class FailureReportTest : public LauncherTest {
 protected:
  ~FailureReportTest() override {
    ::unsetenv("LEVIN_ERROR_FILE");
    ::unsetenv("TORCHELASTIC_ERROR_FILE");
  }
};

TEST_F(FailureReportTest, is_read_as_it_was_written) {
  const auto path = folder_ / "made" / "report";
  ::setenv("LEVIN_ERROR_FILE", path.c_str(), 1);
  EXPECT_FALSE(read_failure_report(path).has_value());
  const double before = files::monotonic_seconds();
  report_failure("two\nlines", true);
  const double after = files::monotonic_seconds();
  report_failure("not the first", false);
  const auto report = read_failure_report(path);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->message, "two\nlines");
  EXPECT_TRUE(report->because_of_another_rank);
  EXPECT_GE(report->seconds, before - 1e-6);  // it is written with six decimals
  EXPECT_LE(report->seconds, after + 1e-6);
  std::ofstream(path) << "something else\n";
  EXPECT_FALSE(read_failure_report(path).has_value());
  std::ofstream(path) << "";
  EXPECT_FALSE(read_failure_report(path).has_value());
}

TEST_F(FailureReportTest, never_throws) {
  report_failure("nobody asked", false);
  ::setenv("LEVIN_ERROR_FILE", "/proc/no/such/place", 1);
  ::setenv("TORCHELASTIC_ERROR_FILE", "", 1);
  EXPECT_NO_THROW(report_failure("no way to write", false));
}

// torchrun reads message.extraInfo.timestamp and py_callstack, and names the smallest timestamp.
TEST_F(FailureReportTest, has_torchelastics_form) {
  ::setenv("TORCHELASTIC_ERROR_FILE", (folder_ / "first.json").c_str(), 1);
  const double before = files::wall_seconds();
  report_failure("a \"quote\" \\ and\n\xff\x01", false);
  const double after = files::wall_seconds();
  ::setenv("TORCHELASTIC_ERROR_FILE", (folder_ / "later.json").c_str(), 1);
  report_failure("because", true);
  const auto first = nlohmann::json::parse(text("first.json")).at("message");
  const auto later = nlohmann::json::parse(text("later.json")).at("message");
  EXPECT_EQ(first.at("message"), "a \"quote\" \\ and\n?\x01");
  EXPECT_EQ(first.at("extraInfo").at("py_callstack"), first.at("message"));
  const auto time_of = [](const nlohmann::json& message) {
    return std::stoll(message.at("extraInfo").at("timestamp").get<std::string>());
  };
  EXPECT_GE(time_of(first), static_cast<int64_t>(before));
  EXPECT_LE(time_of(first), static_cast<int64_t>(after));
  EXPECT_GT(time_of(later), time_of(first) + 30);
}

}  // namespace levin::test::launcher_failure_test
