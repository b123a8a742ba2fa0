#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::server_kills_test {
namespace {

using OnLost = ParameterServerOptions::OnLostWorker;
using test::adding;
using test::eventually;
using test::Numbers;
using test::says;

constexpr int64_t kWorkers = 3;
constexpr int64_t kServers = 2;
constexpr int64_t kRows = 100000;

/// A process that runs a function, with a pipe to it and one from it.
class Process {
 public:
  using Work = std::function<void(const Descriptor& in, const Descriptor& out)>;

  explicit Process(const Work& work) : in_(Pipe::open()), out_(Pipe::open()) {
    std::fflush(nullptr);
    id_ = ::fork();
    if (id_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      in_.write.close();
      try {
        work(in_.read, out_.write);
      } catch (const std::exception& error) {
        say(out_.write, error.what());
      }
      ::_exit(0);
    }
    in_.read.close();
    out_.write.close();
  }
  ~Process() {
    if (id_ < 0) return;
    ADD_FAILURE() << "a process still runs";
    end();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  static void say(const Descriptor& out, const std::string& text) {
    const std::string line = text + "\n";
    [[maybe_unused]] const auto written = ::write(out.get(), line.data(), line.size());
  }
  /// The next line that it says; empty at the end.
  std::string line() {
    std::string text;
    for (char byte = 0; ::read(out_.read.get(), &byte, 1) == 1 && byte != '\n';) text += byte;
    return text;
  }
  void end() {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
    id_ = -1;
  }
  /// Lets a process end that waits for a byte.
  void release() { say(in_.write, ""); }
  /// Waits until the process has ended by itself.
  bool has_ended() {
    if (!eventually([&] { return ::waitpid(id_, nullptr, WNOHANG) == id_; })) return false;
    id_ = -1;
    return true;
  }

 private:
  Pipe in_;
  Pipe out_;
  pid_t id_ = -1;
};

/// Says its address, and, when it is to end, the value that all of its values have.
void serve(int64_t server, OnLost on_lost, int64_t staleness, const Descriptor& in,
           const Descriptor& out) {
  const auto first = divided_rows(kRows, kServers);
  const auto number = static_cast<size_t>(server);
  const int64_t rows = first[number + 1] - first[number];
  ParameterServer own({.workers = kWorkers,
                       .staleness = staleness,
                       .rows = rows,
                       .token = "secret",
                       .server = server,
                       .servers = kServers,
                       .on_lost_worker = on_lost},
                      Numbers(static_cast<size_t>(rows)), adding());
  Process::say(out, own.address().text());
  char byte = 0;
  [[maybe_unused]] const auto end = ::read(in.get(), &byte, 1);
  const auto values = own.values();
  const bool are_equal =
      std::all_of(values.begin(), values.end(), [&](double v) { return v == values.front(); });
  Process::say(out, are_equal ? std::to_string(values.front()) : "half a gradient was added");
}

/// Says when it has made a step, and then pushes gradients whose entries are all 1, until some
/// steps after another worker was lost.
void work(int64_t worker, const std::vector<ServerAddress>& servers, int64_t staleness,
          const Descriptor& out) {
  ParameterClient client(servers, worker, "secret");
  const Numbers ones(kRows, 1.0);
  Numbers values(kRows);
  bool is_first = true;
  for (int64_t left = 10; left > 0;) {
    client.push(ones);
    const auto answer = client.pull(values);
    if (is_first) Process::say(out, "works");
    is_first = false;
    // In step, all servers show the same round.
    const bool are_equal = values.front() == values.back();
    if (staleness == 0 && !are_equal) throw DistributedError("half a gradient was added");
    left -= answer.lost;
  }
  client.leave();
  Process::say(out, "has left");
}

/// Runs servers and workers, each a process of its own, kills one of them at a random moment, and
/// checks how the others end.
void kill_one(bool is_server, int64_t victim, OnLost on_lost, int64_t staleness,
              std::chrono::microseconds moment) {
  std::vector<std::unique_ptr<Process>> servers, workers;
  std::vector<ServerAddress> addresses;
  for (int64_t i = 0; i < kServers; ++i) {
    servers.push_back(std::make_unique<Process>([&](const Descriptor& in, const Descriptor& out) {
      serve(i, on_lost, staleness, in, out);
    }));
    addresses.push_back(ServerAddress::parse(servers.back()->line()));
  }
  for (int64_t i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Process>(
        [&](const Descriptor&, const Descriptor& out) { work(i, addresses, staleness, out); }));
  }
  for (auto& worker : workers) EXPECT_EQ(worker->line(), "works");
  std::this_thread::sleep_for(moment);
  auto& killed = is_server ? servers : workers;
  killed[static_cast<size_t>(victim)]->end();
  killed.erase(killed.begin() + victim);
  for (auto& worker : workers) {
    const auto end = worker->line();
    if (is_server) {
      EXPECT_TRUE(says(end, {"parameter server " + std::to_string(victim)}));
    } else if (on_lost == OnLost::fail) {
      EXPECT_TRUE(says(end, {"worker " + std::to_string(victim), "failed"}));
    } else {
      EXPECT_EQ(end, "has left");
    }
    EXPECT_TRUE(worker->has_ended());
  }
  std::vector<std::string> values;
  for (auto& server : servers) {
    server->release();
    values.push_back(server->line());
    EXPECT_TRUE(server->has_ended());
    EXPECT_FALSE(says(values.back(), {"half"})) << values.back();
  }
  // Whoever died, the servers have the same gradients if the others could go on.
  if (!is_server && on_lost == OnLost::leave_out) {
    EXPECT_EQ(values[0], values[1]);
  }
}

TEST(ServerKills, at_random_moments_leave_whole_gradients_and_end_or_go_on_as_the_option_says) {
  std::mt19937 random(3);
  int turn = 0;
  for (const bool is_server : {false, true}) {
    for (int i = 0; i < 10; ++i, ++turn) {
      constexpr int64_t kStaleness[] = {0, 2, ServerClock::kUnbounded};
      const OnLost on_lost = i % 2 == 0 ? OnLost::leave_out : OnLost::fail;
      const int64_t staleness = kStaleness[turn % 3];
      const auto victim = static_cast<int64_t>(random()) % (is_server ? kServers : kWorkers);
      SCOPED_TRACE(std::string(is_server ? "server " : "worker ") + std::to_string(victim) +
                   ", staleness " + std::to_string(staleness) +
                   (on_lost == OnLost::fail ? "" : ", left out"));
      kill_one(is_server, victim, on_lost, staleness, std::chrono::microseconds(random() % 20000));
    }
  }
}

}  // namespace
}  // namespace levin::server_kills_test
