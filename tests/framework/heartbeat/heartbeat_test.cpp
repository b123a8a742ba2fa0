#include <levin/framework/heartbeat/heartbeat.h>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <iterator>
#include <memory>
#include <set>

#include "framework/heartbeat/heartbeat_fixture.h"
#include "framework/message_of.h"

#include <levin/framework/launch/descriptor.h>

namespace levin::test::heartbeat_test {

/// Longer than any test: what must not end a rank in a test that is about something else.
constexpr double kHour = 3600;
/// A time of silence that makes tests wait, and that no healthy rank has on a busy machine.
constexpr double kSilence = 2;

/// A clock that moves when the test says so, and by a microsecond whenever it is looked at. It must
/// outlive the ranks.
class StillClock {
 public:
  StillClock() {
    files::inject_clock(
        [this] { return 1e-6 * static_cast<double>(microseconds_ += a_look_.load()); });
  }
  ~StillClock() { files::inject_clock({}); }
  StillClock(const StillClock&) = delete;
  StillClock& operator=(const StillClock&) = delete;
  void advance(double seconds) { microseconds_ += static_cast<int64_t>(seconds * 1e6); }
  /// Goes so fast from now on that every wait for a time ends.
  void run() { a_look_ = 100'000; }

 private:
  std::atomic<int64_t> microseconds_{0};
  std::atomic<int64_t> a_look_{1};
};

/// A main thread that trains: it asks at every step.
void train(Heartbeat& heartbeat, int64_t = 0) {
  for (;;) {
    heartbeat.progress();
    heartbeat.check();
    sleep_for(0.002);
  }
}

/// A main thread that is in a collective and never comes back.
void wait_for_ever(Heartbeat& heartbeat, int64_t = 0) {
  const Heartbeat::Waiting waiting(heartbeat);
  sleep_for(kHour);
}

std::unique_ptr<Heartbeat> join(HeartbeatMeetingPlace& meeting, int64_t rank, int64_t world_size,
                                HeartbeatOptions options = {}) {
  options.grace_seconds = kHour;
  return std::make_unique<Heartbeat>(rank, world_size, meeting.functions(), options);
}

std::vector<std::unique_ptr<Heartbeat>> join_all(HeartbeatMeetingPlace& meeting, int64_t world_size,
                                                 const HeartbeatOptions& options = {}) {
  std::vector<std::unique_ptr<Heartbeat>> ranks;
  for (int64_t rank = 0; rank < world_size; ++rank) {
    ranks.push_back(join(meeting, rank, world_size, options));
  }
  return ranks;
}

std::string of_rank(int64_t rank, const std::string& what) {
  return "rank " + std::to_string(rank) + what;
}

using Names = std::set<std::string>;

Names entries_in(const char* folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// The threads that weren't there `before`. Of those that were, some may be about to end.
Names threads_since(const Names& before) {
  const Names now = entries_in("/proc/self/task");
  Names added;
  std::set_difference(now.begin(), now.end(), before.begin(), before.end(),
                      std::inserter(added, added.end()));
  return added;
}

/// Whether the rank leaves while the clock stands still: as soon as the others know it.
bool leaves(std::unique_ptr<Heartbeat>& rank, StillClock& clock) {
  const auto leaving = std::async(std::launch::async, [&] { rank.reset(); });
  const auto most = std::chrono::duration<double>(kHangSeconds);
  const bool has_left = leaving.wait_for(most) == std::future_status::ready;
  if (!has_left) clock.run();
  return has_left;
}

// Row 49: a killed rank ends all, each with its number.
TEST_F(HeartbeatTest, ends_all_ranks_after_a_kill) {
  for (const int64_t victim : {0, 2}) {
    start(4, wait_for_ever, {.timeout_seconds = kHour});
    signal(victim, SIGKILL);
    const auto message = of_rank(victim, " ended without reporting an error (was it killed?)");
    for (int64_t rank = 0; rank < 4; ++rank) {
      const auto end = end_of(rank);
      if (rank == victim) {
        EXPECT_EQ(end.status, 128 + SIGKILL);
        continue;
      }
      EXPECT_EQ(end.status, 1) << rank;
      EXPECT_EQ(end.err, of_rank(rank, ": " + message + "\n"));
      ASSERT_TRUE(end.report.has_value());
      EXPECT_EQ(end.report->message, message);
      EXPECT_TRUE(end.report->because_of_another_rank);
    }
  }
}

TEST_F(HeartbeatTest, throws_where_a_rank_checks_before_its_grace_is_over) {
  start(3, train, {.timeout_seconds = kHour, .grace_seconds = kHour});
  signal(1, SIGKILL);
  for (const int64_t rank : {0, 2}) {
    const auto end = end_of(rank);
    EXPECT_EQ(end.status, 3);
    EXPECT_EQ(end.err, "thrown: rank 1 ended without reporting an error (was it killed?)\n");
  }
  end_of(1);
}

TEST_F(HeartbeatTest, finds_a_frozen_rank) {
  const std::string message = "rank 2 has sent no heartbeat for 2 s";
  start(3, train, {.interval = 0.05, .timeout_seconds = kSilence});
  const double frozen = seconds_now();
  signal(2, SIGSTOP);
  for (const int64_t rank : {0, 1}) EXPECT_EQ(end_of(rank).err, "thrown: " + message + "\n");
  EXPECT_GT(seconds_now() - frozen, 0.5);
  signal(2, SIGCONT);  // it finds out what the others did
  const auto end = end_of(2);
  EXPECT_EQ(end.err, "thrown: " + message + "\n");
  ASSERT_TRUE(end.report.has_value());
  EXPECT_FALSE(end.report->because_of_another_rank);
}

TEST_F(HeartbeatTest, finds_that_rank_0_is_frozen) {
  const std::string message = ": rank 0 has sent no heartbeat for 2 s\n";
  start(3, wait_for_ever, {.interval = 0.05, .timeout_seconds = kSilence, .grace_seconds = 0.1});
  signal(0, SIGSTOP);
  for (const int64_t rank : {1, 2}) {
    const auto end = end_of(rank);
    EXPECT_EQ(end.status, 1);
    EXPECT_EQ(end.err, of_rank(rank, message));
  }
  signal(0, SIGCONT);
  const auto end = end_of(0);
  EXPECT_EQ(end.status, 1);
  EXPECT_EQ(end.err, of_rank(0, message));
}

TEST_F(HeartbeatTest, blames_nobody_after_being_stopped_for_less) {
  const auto work = [&](Heartbeat& heartbeat, int64_t) {
    while (!has("over")) {
      heartbeat.check();
      sleep_for(0.01);
    }
  };
  start(2, work, {.interval = 0.05, .timeout_seconds = kSilence});
  for (int i = 0; i < 5; ++i) {
    signal(0, SIGSTOP);
    sleep_for(kSilence / 4);
    signal(0, SIGCONT);
    sleep_for(0.1);
  }
  std::ofstream(folder_ / "over") << "";
  for (const int64_t rank : {0, 1}) {
    const auto end = end_of(rank);
    EXPECT_EQ(end.status, 0) << end.err;
  }
}

// Row 49: a hung rank is found, though its process lives.
TEST_F(HeartbeatTest, finds_a_rank_that_makes_no_progress) {
  for (const int64_t hung : {0, 2}) {
    const auto work = [&](Heartbeat& heartbeat, int64_t rank) {
      std::ofstream(folder_ / name("works", rank)).flush();
      while (!(has("works-0") && has("works-1") && has("works-2"))) {
        heartbeat.progress();
        sleep_for(0.002);
      }
      if (rank == hung) sleep_for(kHour);
      wait_for_ever(heartbeat);
    };
    const double started = seconds_now();
    start(3, work,
          {.interval = 0.05, .timeout_seconds = kHour, .stall_seconds = 1.0, .grace_seconds = 0.2});
    const auto message =
        of_rank(hung, " has made no progress for 1 s while other ranks wait for it");
    for (int64_t rank = 0; rank < 3; ++rank) {
      const auto end = end_of(rank);
      EXPECT_EQ(end.status, 1);
      EXPECT_EQ(end.err, of_rank(rank, ": " + message + "\n"));
      ASSERT_TRUE(end.report.has_value());
      EXPECT_EQ(end.report->because_of_another_rank, rank != hung);
    }
    EXPECT_GT(seconds_now() - started, 1.0);
  }
}

TEST(Heartbeat, calls_no_rank_hung_without_cause) {
  constexpr int kLong = 3000;
  const auto is_quiet = [&](bool waits, double stall_seconds,
                            const std::function<void(Heartbeat&)>& step, int steps = 40) {
    StillClock clock;
    HeartbeatMeetingPlace meeting;
    const auto ranks = join_all(
        meeting, 2, {.interval = 0.02, .timeout_seconds = kHour, .stall_seconds = stall_seconds});
    std::unique_ptr<Heartbeat::Waiting> waiting;
    if (waits) waiting = std::make_unique<Heartbeat::Waiting>(*ranks[0]);
    const auto knows_none = [&] {
      return ranks[0]->failure().empty() && ranks[1]->failure().empty();
    };
    for (int i = 0; i < steps && knows_none(); ++i) {
      step(*ranks[1]);
      clock.advance(0.1);
      sleep_for(0.02);
    }
    return knows_none();
  };
  const auto hang = [](Heartbeat&) {};
  const auto get_on = [](Heartbeat& heartbeat) { heartbeat.progress(); };
  const auto wait_too = [](Heartbeat& heartbeat) { const Heartbeat::Waiting waiting(heartbeat); };
  EXPECT_TRUE(is_quiet(false, 0.3, hang)) << "nobody waits";
  EXPECT_TRUE(is_quiet(true, 0.3, get_on));
  EXPECT_TRUE(is_quiet(true, 0.3, wait_too));
  EXPECT_TRUE(is_quiet(true, 0, hang)) << "it is switched off";
  EXPECT_FALSE(is_quiet(true, 0.3, hang, kLong));
}

TEST(Heartbeat, says_once_which_rank_keeps_others_waiting) {
  StillClock clock;
  HeartbeatMeetingPlace meeting;
  testing::internal::CaptureStderr();
  {
    const auto ranks = join_all(
        meeting, 2,
        {.interval = 0.02, .timeout_seconds = kHour, .stall_seconds = 30.0, .notice_seconds = 0.3});
    const Heartbeat::Waiting waiting(*ranks[0]);
    EXPECT_TRUE(eventually([&] {
      clock.advance(0.1);
      return !ranks[0]->failure().empty();
    }));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(said, {"rank 1 has made no progress for 0.3 s while other ranks wait for it",
                          "the run ends if that lasts for 30 s"}));
  EXPECT_EQ(said.find("rank 1"), said.rfind("rank 1")) << said;
}

/// The pipe's writing end blocks as a terminal does that was stopped by Ctrl-S.
TEST_F(HeartbeatTest, goes_on_and_ends_though_nobody_reads_stderr) {
  const Pipe full = Pipe::open();
  ASSERT_EQ(::fcntl(full.write.get(), F_SETFL, O_NONBLOCK), 0);
  const std::string text(4096, 'x');
  while (::write(full.write.get(), text.data(), text.size()) > 0) continue;
  ASSERT_EQ(::fcntl(full.write.get(), F_SETFL, 0), 0);
  start(2,
        [&](Heartbeat& heartbeat, int64_t rank) {
          if (rank == 0) ::dup2(full.write.get(), STDERR_FILENO);
          if (rank == 0) sleep_for(kHour);
          wait_for_ever(heartbeat);
        },
        {.interval = 0.02,
         .timeout_seconds = kHour,
         .stall_seconds = 0.3,
         .notice_seconds = 0.1,
         .grace_seconds = 0.1});
  EXPECT_EQ(end_of(0).status, 1);  // both its notice and its last line are lost
  const auto end = end_of(1);
  EXPECT_EQ(end.status, 1);
  EXPECT_TRUE(says(end.err, {"rank 1: rank 0 has made no progress for 0.3 s"}));
}

TEST_F(HeartbeatTest, tells_all_ranks_why_one_fails) {
  for (const int64_t failing : {0, 1}) {
    const auto work = [&](Heartbeat& heartbeat, int64_t rank) {
      if (rank != failing) wait_for_ever(heartbeat);
      heartbeat.tell("DataError: row 7 holds NaN\nin x.csv");
      heartbeat.check();  // it has a failure of its own
      ::_exit(5);         // and needn't come to its end
    };
    start(4, work, {.timeout_seconds = kHour, .grace_seconds = 0.3});
    for (int64_t rank = 0; rank < 4; ++rank) {
      const auto end = end_of(rank);
      ASSERT_EQ(end.report.has_value(), rank != failing);
      EXPECT_EQ(end.status, rank == failing ? 5 : 1);
      if (rank == failing) continue;
      EXPECT_EQ(end.report->message,
                of_rank(failing, " failed: DataError: row 7 holds NaN\nin x.csv"));
      EXPECT_EQ(end.err, of_rank(rank, ": ") +
                             of_rank(failing, " failed: DataError: row 7 holds NaN in x.csv\n"));
    }
  }
}

TEST(Heartbeat, counts_the_first_failure) {
  HeartbeatMeetingPlace meeting;
  auto ranks = join_all(meeting, 4);
  ranks[3]->tell("first");
  for (const int64_t rank : {0, 1, 2}) {
    const auto& one = ranks[static_cast<size_t>(rank)];
    EXPECT_EQ(one->failure(kHangSeconds), "rank 3 failed: first") << rank;
    EXPECT_EQ(message_of<DistributedError>([&] { one->check(); }), "rank 3 failed: first");
  }
  ranks[1]->tell("second");
  ranks[0]->tell("third");
  EXPECT_EQ(ranks[2]->failure(0.1), "rank 3 failed: first");
  EXPECT_EQ(ranks[3]->failure(), "");
  EXPECT_NO_THROW(ranks[3]->check());
  for (auto& one : ranks) one.reset();
}

TEST(Heartbeat, names_the_cause_where_its_consequence_comes_first) {
  for (const size_t broken : {0U, 1U}) {
    StillClock clock;
    HeartbeatMeetingPlace meeting;
    const auto ranks = join_all(meeting, 4);
    ranks[broken]->tell("connection closed by peer", true);
    sleep_for(0.05);
    ranks[3]->tell("out of memory");
    EXPECT_EQ(ranks[2]->failure(kHangSeconds), "rank 3 failed: out of memory");
  }
  for (const size_t broken : {0U, 1U}) {
    StillClock clock;
    HeartbeatMeetingPlace meeting;
    const auto ranks = join_all(meeting, 3, {.timeout_seconds = kHour});
    ranks[broken]->tell("connection closed by peer", true);
    EXPECT_EQ(ranks[2]->failure(0.1), "");  // the cause might still come
    std::string heard;
    eventually([&] {
      clock.advance(0.3);
      heard = ranks[2]->failure(0.05);
      return !heard.empty();
    });
    EXPECT_EQ(heard, of_rank(static_cast<int64_t>(broken), " failed: connection closed by peer"));
  }
}

TEST(Heartbeat, may_be_left_in_any_order) {
  std::vector<size_t> order = {0, 1, 2};
  do {
    StillClock clock;
    HeartbeatMeetingPlace meeting;
    auto ranks = join_all(meeting, 3, {.interval = 2e-5});  // a few milliseconds
    for (const size_t rank : order) {
      for (const auto& one : ranks) {
        if (!one) continue;
        EXPECT_EQ(one->failure(0.02), "");
      }
      ASSERT_TRUE(leaves(ranks[rank], clock)) << rank;
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(HeartbeatTest, lets_ranks_go_on_that_others_have_left) {
  const auto work = [&](Heartbeat& heartbeat, int64_t rank) {
    const auto one_before = name("left", (rank + 3) % 4);  // rank 2 first, rank 0 third
    while (rank != 2 && !has(one_before)) sleep_for(0.01);
    if (rank < 2) sleep_for(rank == 0 ? 1.2 * kSilence : 0.3);
    heartbeat.check();
    heartbeat.leave();
    heartbeat.tell("too late");
    std::ofstream(folder_ / name("left", rank)).flush();
  };
  start(4, work, {.interval = 0.05, .timeout_seconds = kSilence});
  for (int64_t rank = 0; rank < 4; ++rank) {
    const auto end = end_of(rank);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_EQ(end.err, "");
    EXPECT_FALSE(end.report.has_value());
  }
}

TEST(Heartbeat, lets_ranks_join_that_are_late_while_rank_0_leaves) {
  StillClock clock;
  HeartbeatMeetingPlace meeting;
  auto first = join(meeting, 0, 2);
  auto leaving = std::async(std::launch::async, [&] { return leaves(first, clock); });
  sleep_for(0.1);
  const auto second = join(meeting, 1, 2);
  EXPECT_EQ(second->failure(0.2), "");
  EXPECT_TRUE(leaving.get());
}

TEST(Heartbeat, finds_a_rank_that_never_joins) {
  HeartbeatMeetingPlace meeting;
  const auto first = join(meeting, 0, 3, {.interval = 0.05, .timeout_seconds = kSilence});
  const auto third = join(meeting, 2, 3, {.interval = 0.05, .timeout_seconds = kHour});
  EXPECT_EQ(first->failure(kHangSeconds), "rank 1 has sent no heartbeat for 2 s");
  EXPECT_EQ(third->failure(kHangSeconds), "rank 1 has sent no heartbeat for 2 s");
}

TEST_F(HeartbeatTest, calls_on_failure_once_and_ends_though_that_hangs) {
  const auto count = folder_ / "temporary" / "calls";
  const auto hang = [count] {
    std::ofstream(count, std::ios::app) << "called\n";
    sleep_for(kHour);
  };
  start(
      3,
      [](Heartbeat& heartbeat, int64_t rank) {
        rank == 1 ? wait_for_ever(heartbeat) : train(heartbeat);  // stuck; leaving
      },
      {.timeout_seconds = kHour, .grace_seconds = 1}, hang);
  signal(2, SIGKILL);
  for (const int64_t rank : {0, 1, 2}) EXPECT_EQ(end_of(rank).status, rank == 2 ? 137 : 1);
  EXPECT_EQ(read_file(count), "called\ncalled\n");
  fs::remove(count);
}

TEST_F(HeartbeatTest, lets_on_failure_free_the_main_thread) {
  Pipe pipe = Pipe::open();
  start(
      2,
      [&](Heartbeat& heartbeat, int64_t rank) {
        char byte = 0;
        if (rank == 1) sleep_for(kHour);
        EXPECT_EQ(::read(pipe.read.get(), &byte, 1), 1);  // the collective
        heartbeat.check();
      },
      {.timeout_seconds = kHour, .grace_seconds = kHour},
      [&] { EXPECT_EQ(::write(pipe.write.get(), "!", 1), 1); });
  signal(1, SIGKILL);
  EXPECT_EQ(end_of(0).err, "thrown: rank 1 ended without reporting an error (was it killed?)\n");
  end_of(1);
}

/// A connection to the port of a meeting, by somebody else.
Descriptor connect_to(const HeartbeatMeetingPlace& meeting) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string value = const_cast<HeartbeatMeetingPlace&>(meeting).value();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(value.substr(value.find(':') + 1))));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

/// Whether the other side closes the connection.
bool is_dropped(const Descriptor& socket) {
  timeval most{static_cast<time_t>(kHangSeconds), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
  char byte = 0;
  const ssize_t got = ::recv(socket.get(), &byte, 1, 0);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

TEST(Heartbeat, drops_strangers) {
  HeartbeatMeetingPlace meeting;
  const auto first = join(meeting, 0, 2, {.interval = 0.05, .timeout_seconds = kHour});
  const std::string hello("H\0\0\0\0\1\0\0\0\0\0\0\0\3abc", 17);
  const std::string too_long("H\0\0\0\0\1\0\0\0\0\7\0\0\0", 14);
  const std::string goodbye("G\0\0\0\0\1\0\0\0\0\0\0\0\0", 14);
  for (const std::string& text :
       {hello, too_long, goodbye, std::string("GET / HTTP/1.0\r\n\r\n")}) {
    const Descriptor stranger = connect_to(meeting);
    ::send(stranger.get(), text.data(), text.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(is_dropped(stranger)) << text;
  }
  const Descriptor silent = connect_to(meeting);
  connect_to(meeting);  // closes at once
  EXPECT_EQ(first->failure(0.2), "");
  const auto second = join(meeting, 1, 2);
  EXPECT_TRUE(is_dropped(silent)) << "all have joined";
  second->tell("a word");
  EXPECT_EQ(first->failure(kHangSeconds), "rank 1 failed: a word");
}

TEST(Heartbeat, takes_names_and_addresses_of_any_kind) {
  for (const char* address : {"localhost", "::1"}) {
    HeartbeatMeetingPlace meeting;
    std::vector<std::unique_ptr<Heartbeat>> ranks;
    try {
      ranks = join_all(meeting, 2, {.address = address});
    } catch (const DistributedError&) {
      EXPECT_STREQ(address, "::1");  // not every machine has it
      continue;
    }
    EXPECT_TRUE(says(meeting.value(), {address}));
    ranks[1]->tell("a word");
    EXPECT_EQ(ranks[0]->failure(kHangSeconds), "rank 1 failed: a word");
  }
}

TEST(Heartbeat, costs_one_rank_alone_nothing) {
  const auto threads = entries_in("/proc/self/task");
  const auto descriptors = entries_in("/proc/self/fd");
  const auto fail = [] { ADD_FAILURE() << "called"; };
  const HeartbeatMeeting nobody{[&](const std::string&) { fail(); },
                                [&] {
                                  fail();
                                  return std::string();
                                }};
  Heartbeat heartbeat(0, 1, nobody, {}, fail);
  EXPECT_EQ(threads_since(threads), Names());
  EXPECT_EQ(entries_in("/proc/self/fd"), descriptors);
  const Heartbeat::Waiting waiting(heartbeat);
  heartbeat.progress();
  heartbeat.tell("nobody hears it");
  EXPECT_EQ(heartbeat.failure(kHour), "");
  heartbeat.check();
  heartbeat.leave();
}

TEST(Heartbeat, leaves_no_thread_and_no_descriptor) {
  const auto descriptors = entries_in("/proc/self/fd");
  for (int restart = 0; restart < 3; ++restart) {
    const auto threads = entries_in("/proc/self/task");
    HeartbeatMeetingPlace meeting;
    const auto ranks = join_all(meeting, 3);
    EXPECT_EQ(threads_since(threads).size(), 3U);
    if (restart == 1) {
      ranks[2]->tell("a failure");
      EXPECT_EQ(ranks[1]->failure(kHangSeconds), "rank 2 failed: a failure");
    } else {
      EXPECT_EQ(ranks[1]->failure(0.1), "");
    }
    for (const auto& one : ranks) one->leave();
    EXPECT_TRUE(eventually([&] { return threads_since(threads).empty(); }));
  }
  EXPECT_EQ(entries_in("/proc/self/fd"), descriptors);
}

TEST(Heartbeat, closes_its_port_when_it_leaves_though_a_rank_has_not_joined) {
  HeartbeatMeetingPlace meeting;
  const auto first = join(meeting, 0, 2);
  first->leave();
  EXPECT_TRUE(
      says(message_of<DistributedError>([&] { join(meeting, 1, 2); }), {"Connection refused"}));
}

TEST_F(HeartbeatTest, leaves_signals_to_the_main_thread) {
  start(2, [](Heartbeat&, int64_t rank) {
    if (rank == 0) {
      static std::atomic<bool> was_handled{false};
      ::signal(SIGUSR1, [](int) { was_handled = true; });
      sigset_t one;
      sigemptyset(&one);
      sigaddset(&one, SIGUSR1);
      ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
      ::kill(::getpid(), SIGUSR1);  // no thread takes it
      sleep_for(0.1);
      const bool too_soon = was_handled;
      ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
      if (too_soon || !was_handled) throw DistributedError("another thread took it");
    }
  });
  for (const int64_t rank : {0, 1}) EXPECT_EQ(end_of(rank).err, "");
}

/// The store holds the token, which whoever reads it could present without the secret.
TEST(Heartbeat, what_the_store_holds_is_not_enough_to_join) {
  HeartbeatMeetingPlace place;
  const HeartbeatOptions options{
      .timeout_seconds = 60.0, .grace_seconds = 60.0, .secret = "the secret"};
  Heartbeat zero(0, 2, place.functions(), options);
  HeartbeatOptions without = options;
  without.secret.clear();
  Heartbeat intruder(1, 2, place.functions(), without);
  EXPECT_TRUE(eventually([&] { return !intruder.failure(0.1).empty(); }));
  EXPECT_TRUE(says(intruder.failure(0.0), {"rank 0 ended"}));
  EXPECT_EQ(zero.failure(0.0), "") << "for rank 0, nobody has joined yet";
  Heartbeat one(1, 2, place.functions(), options);
  one.tell("one is here");
  EXPECT_TRUE(says(zero.failure(5.0), {"one is here"}));
}

TEST(Heartbeat, says_where_rank_0_cannot_be_reached) {
  std::string value = "nonsense";
  const HeartbeatMeeting meeting{{}, [&] { return value; }};
  const auto message = [&] {
    return message_of<DistributedError>([&] { Heartbeat heartbeat(1, 2, meeting); });
  };
  for (const char* wrong :
       {"nonsense", "", "host:1", "host: t", "host:99999 t", ":1 t", "h:1x t"}) {
    value = wrong;
    EXPECT_TRUE(says(message(), {"'" + value + "'", "address:port token"}));
  }
  HeartbeatMeetingPlace gone;
  join(gone, 0, 2)->tell("gone");
  value = gone.value();
  EXPECT_TRUE(says(message(), {value.substr(0, value.find(' ')), "Connection refused"}));
}

TEST(Heartbeat, refuses_options_that_cannot_be) {
  const auto message = [](HeartbeatOptions options) {
    return message_of<ConfigError>([&] { Heartbeat heartbeat(0, 1, {}, options); });
  };
  EXPECT_TRUE(says(message({.interval = 0}), {"interval = 0"}));
  EXPECT_TRUE(says(message({.interval = 2, .timeout_seconds = 1}), {"timeout_seconds = 1"}));
  EXPECT_TRUE(says(message({.stall_seconds = -1}), {"stall_seconds = -1"}));
  EXPECT_TRUE(says(message({.notice_seconds = -1}), {"notice_seconds = -1"}));
  EXPECT_TRUE(says(message({.grace_seconds = -1}), {"grace_seconds = -1"}));
}

}  // namespace levin::test::heartbeat_test
