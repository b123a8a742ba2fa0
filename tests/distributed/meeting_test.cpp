#include <levin/framework/collectives/meeting_store.h>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/polled_wait.h>
#include <levin/framework/collectives/process_group.h>
#include <levin/framework/collectives/sealed_store.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/interruption.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/launch/listening_port.h>
#include <levin/framework/strategies/group_ranks.h>

#include "framework/message_of.h"

// How ranks find each other, what they leave in the store, and who else can reach it.

namespace levin::meeting_test {

using test::message_of;
using test::says;
using Store = c10::intrusive_ptr<c10d::TCPStore>;

/// A store as torchrun's agent serves one, the same for all tests: a process keeps its connections.
Store make_server() {
  static const Store server = [] {
    ::setenv("TORCH_FR_BUFFER_SIZE", "0", 1);  // as in ranks_as_threads.h
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  }();
  return server;
}

/// A port from 15000 + `from` on that another process of these tests is unlikely to use.
int64_t port_of_this_process(int64_t from) { return 15000 + from + ::getpid() % 1000; }

Cluster member(int64_t rank, int64_t world_size) {
  static std::atomic<int> runs{0};
  Cluster cluster;
  cluster.rank = cluster.local_rank = rank;
  cluster.world_size = cluster.local_world_size = world_size;
  cluster.master_address = "127.0.0.1";
  cluster.run_id = "meeting-" + std::to_string(runs++);
  return cluster;
}

/// Runs `work` as each rank of a cluster like `like`; returns what each threw.
std::vector<std::string> on_each(const Cluster& like,
                                 const std::function<void(ProcessGroup&)>& work,
                                 double timeout = 60.0) {
  std::vector<std::string> thrown(static_cast<size_t>(like.world_size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < like.world_size; ++rank) {
    threads.emplace_back([&, rank] {
      Cluster cluster = like;
      cluster.rank = cluster.local_rank = rank;
      try {
        ProcessGroup group(cluster, at::kCPU, {.timeout = timeout});
        work(group);
        group.barrier();
      } catch (const std::exception& error) {
        thrown[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return thrown;
}

Cluster at_server(const Store& server, int64_t world_size, const std::string& secret = {}) {
  Cluster cluster = member(0, world_size);
  cluster.master_port = server->getPort();
  cluster.launcher_serves_store = true;
  cluster.secret = secret;
  return cluster;
}

std::string key_that_ends_with(c10d::TCPStore& store, const std::string& ending) {
  for (const auto& key : store.listKeys()) {
    if (key.ends_with(ending)) return key.starts_with("/") ? key.substr(1) : key;
  }
  return {};
}

constexpr unsigned int kEstablished = 1;
constexpr unsigned int kListens = 10;

/// The local addresses, in hexadecimal, of the sockets that listen at a port, or of those in
/// another state.
std::vector<std::string> listening_addresses(int64_t port, unsigned int wanted = kListens) {
  std::vector<std::string> addresses;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream table(path);
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
      char address[40] = {};
      unsigned int number = 0;
      unsigned int state = 0;
      if (std::sscanf(line.c_str(), " %*d: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x", address, &number,
                      &state) == 3 &&
          number == static_cast<unsigned int>(port) && state == wanted) {
        addresses.emplace_back(address);
      }
    }
  }
  return addresses;
}

class Meeting : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
  void TearDown() override {
    set_interrupted(false);
    files::inject_clock({});
  }
  /// A clock that runs a hundred times as fast.
  static void run_fast() {
    const double start = files::monotonic_seconds();
    files::inject_clock([start] {
      const auto now = std::chrono::steady_clock::now().time_since_epoch();
      return start + 100.0 * (std::chrono::duration<double>(now).count() - start);
    });
  }
};

TEST_F(Meeting, ranks_of_one_host_meet_where_no_other_host_can_connect) {
  Cluster cluster = member(0, 2);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(0);
  std::vector<std::string> listening;
  const auto thrown = on_each(cluster, [&](ProcessGroup& group) {
    group.barrier();
    if (group.rank() != 0) return;
    for (int64_t i = 0; i < meeting_ports(cluster) && listening.empty(); ++i) {
      listening = listening_addresses(meeting_port(cluster, i));
    }
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
  EXPECT_EQ(listening, std::vector<std::string>{"0100007F"});
}

TEST_F(Meeting, the_store_listens_at_the_socket_it_is_given_and_closes_it) {
  Cluster cluster = member(0, 2);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(1000);
  auto store = open_meeting_store(cluster, std::chrono::milliseconds(60'000));
  const auto* served = dynamic_cast<c10d::TCPStore*>(store.get());
  ASSERT_NE(served, nullptr);
  EXPECT_TRUE(served->isLibUvBackend());  // the old one has no limits for what a stranger sends
  const int64_t port = served->getPort();
  EXPECT_EQ(listening_addresses(port), std::vector<std::string>{"0100007F"});
  store.reset();
  EXPECT_EQ(listening_addresses(port), std::vector<std::string>());
}

TEST_F(Meeting, a_port_that_another_run_has_is_passed_over_by_all_ranks) {
  Cluster cluster = member(0, 3);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(2000);
  const ListeningPort silent = open_meeting_port(cluster);  // accepts, but never answers
  const ListeningPort next = open_meeting_port(cluster);
  c10d::TCPStoreOptions options;  // the store of another run
  options.port = static_cast<uint16_t>(next.number);
  options.isServer = true;
  options.waitWorkers = false;
  options.masterListenFd = ::dup(next.socket.get());
  const auto other_run = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  const auto thrown = on_each(cluster, [](ProcessGroup& group) {
    auto one = torch::ones({1});
    group.all_reduce(one);
    EXPECT_EQ(one.item<float>(), 3.0F);
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
}

/// A rank would otherwise never meet a store to which the handshake always takes so long.
TEST_F(Meeting, a_slow_handshake_is_waited_for_and_not_begun_again) {
  make_server();
  Cluster cluster = member(1, 2);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(7000);
  const ListeningPort slow = open_meeting_port(cluster);
  cluster.may_choose_port = false;
  cluster.master_port = slow.number;
  cluster.launcher_serves_store = true;
  c10::intrusive_ptr<c10d::Store> found;
  std::thread rank([&] {
    try {
      found = open_meeting_store(cluster, std::chrono::milliseconds(60'000));
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(700));  // several looks at the port
  EXPECT_LE(listening_addresses(slow.number, kEstablished).size(), 1U);
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(slow.number);
  options.isServer = true;
  options.waitWorkers = false;
  options.masterListenFd = ::dup(slow.socket.get());
  const auto server = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  rank.join();
  EXPECT_NE(found, nullptr);
}

TEST_F(Meeting, a_store_for_which_no_descriptor_is_left_is_an_error_that_says_so) {
  make_server();
  Cluster cluster = member(0, 2);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(8000);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest = ::dup(STDERR_FILENO);
  ::close(lowest);
  rlimit one_more = before;
  one_more.rlim_cur = static_cast<rlim_t>(lowest) + 1;  // for the socket
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &one_more), 0);
  const auto message = message_of<DistributedError>(
      [&] { open_meeting_store(cluster, std::chrono::milliseconds(60'000)); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(says(message, {"Too many open files", "raise the limit of open files"}));
}

TEST_F(Meeting, a_value_of_another_program_is_refused_before_it_is_parsed) {
  const auto server = make_server();
  const auto thrown = on_each(at_server(server, 2, "the secret"), [&](ProcessGroup& group) {
    if (group.rank() == 0) {
      group.set("mine", "plain text");
      group.set("theirs", "plain text");
      // `set` doesn't wait for the store, to which this rank and `server` have connections each.
      EXPECT_EQ(group.get("theirs"), "plain text");
      const auto key = key_that_ends_with(*server, "/mine");
      const auto bytes = server->get(key);
      EXPECT_EQ(std::string(bytes.begin(), bytes.end()).find("plain"), std::string::npos);
      server->set(key_that_ends_with(*server, "/theirs"), std::vector<uint8_t>{'[', '1', ','});
      group.set("ready", "1");
    }
    group.get("ready");
    EXPECT_EQ(group.get("mine"), "plain text");
    EXPECT_TRUE(says(message_of<DistributedError>([&] { group.get("theirs"); }),
                     {"theirs", "doesn't carry the run's secret", "LEVIN_RUN_SECRET"}));
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
}

/// Each of the two would otherwise take what the other one writes for its own, or wait for it.
TEST_F(Meeting, ranks_with_different_secrets_are_an_error_on_both_that_says_so) {
  const auto server = make_server();
  const std::pair<const char*, const char*> pairs[] = {{"one", "two"}, {"", "two"}, {"one", ""}};
  for (const auto& [first, second] : pairs) {
    std::vector<std::string> thrown(2);
    const Cluster zero = at_server(server, 2, first);
    Cluster one = zero;
    one.rank = one.local_rank = 1;
    one.secret = second;
    std::vector<std::thread> threads;
    for (const Cluster& cluster : {zero, one}) {
      threads.emplace_back([&thrown, cluster] {
        thrown[static_cast<size_t>(cluster.rank)] = message_of<DistributedError>(
            [&] { ProcessGroup(cluster, at::kCPU, {.timeout = 3600.0}); });
      });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& message : thrown) {
      EXPECT_TRUE(says(message, {"present/", "doesn't carry the run's secret", "LEVIN_RUN_SECRET",
                                 "give all of them the same secret"}));
    }
  }
}

TEST_F(Meeting, a_store_that_other_hosts_reach_without_a_secret_is_a_warning) {
  for (const std::string secret : {"", "the secret"}) {
    Cluster cluster = member(0, 2);
    cluster.num_nodes = 2;
    cluster.may_choose_port = true;
    cluster.master_port = port_of_this_process(secret.empty() ? 5000 : 6000);
    cluster.secret = secret;
    testing::internal::CaptureStderr();
    for (const auto& message : on_each(cluster, [](ProcessGroup&) {})) EXPECT_EQ(message, "");
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.find("set LEVIN_RUN_SECRET to the same random text") != said.npos,
              secret.empty())
        << said;
  }
}

TEST_F(Meeting, gloo_leaves_no_bytes_of_its_memory_in_the_store) {
  const auto server = make_server();
  std::atomic<int> addresses{0};
  const auto thrown = on_each(at_server(server, 2), [&](ProcessGroup& group) {
    if (group.rank() != 0) return;
    for (std::string key : server->listKeys()) {
      if (key.find("/gloo/") == key.npos) continue;
      if (key.starts_with("/")) key.erase(0, 1);
      auto value = server->get(key);
      const auto before = value;
      EXPECT_GE(value.size(), sizeof(sockaddr_storage)) << key;
      clear_unused_bytes(value);
      EXPECT_EQ(value, before) << key;
      ++addresses;
    }
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
  EXPECT_EQ(addresses, 2);
}

/// `srun sh -c "levin fit ...; levin test ..."`: the first ranks may be at the second program while
/// rank 0 still ends the first.
TEST_F(Meeting, the_next_program_of_a_job_does_not_take_this_ones_store_for_its_own) {
  Cluster cluster = member(0, 2);
  cluster.may_choose_port = true;
  cluster.master_port = port_of_this_process(4000);
  const auto thrown = on_each(cluster, [&](ProcessGroup& group) {
    group.barrier();
    if (group.rank() != 0) return;
    Cluster next = cluster;
    next.rank = next.local_rank = 1;
    EXPECT_TRUE(says(message_of<std::runtime_error>(
                         [&] { open_meeting_store(next, std::chrono::milliseconds(300)); }),
                     {"rank 0 didn't answer"}));
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
}

TEST_F(Meeting, keys_are_deleted_when_they_have_been_used) {
  const auto server = make_server();
  const int64_t before = server->getNumKeys();
  std::atomic<int64_t> first{0};
  const auto thrown = on_each(at_server(server, 3), [&](ProcessGroup& group) {
    Heartbeat alone(0, 1, {});
    GroupRanks ranks(group, alone);
    group.barrier();
    group.barrier();  // each rank has deleted its keys after the first
    if (group.rank() == 0) first = server->getNumKeys();
    group.barrier();
    ProcessGroup second(group, "second");
    for (int i = 0; i < 50; ++i) {
      const auto value = ranks.from_rank_zero("key", [&] { return std::to_string(i); });
      EXPECT_EQ(value, std::to_string(i));
    }
    group.barrier();
    group.barrier();
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
  EXPECT_EQ(server->getNumKeys(), first);
  EXPECT_EQ(first, before) << "what joined the ranks is left in the store";
}

/// Otherwise it would grow with every value that a run puts into it.
TEST_F(Meeting, a_sealed_store_notes_its_keys_only_where_asked_and_until_they_are_deleted) {
  const auto inside = c10::make_intrusive<c10d::HashStore>();
  const auto is_kept = [&](c10d::Store& store) {
    store.set("key", std::string("1"));
    delete_keys_set(store);
    return inside->check({"key"});
  };
  const auto timeout = std::chrono::milliseconds(1000);
  const auto plain = make_sealed_store(inside, RunSecret("one"), timeout);
  EXPECT_TRUE(is_kept(*plain));
  const auto noting = make_sealed_store(inside, RunSecret("one"), timeout, {.notes_keys = true});
  EXPECT_FALSE(is_kept(*noting));
  EXPECT_TRUE(is_kept(*noting)) << "the keys have been deleted before";
}

/// The heartbeat says which rank keeps the others waiting; each of them would say it once more.
TEST_F(Meeting, a_long_wait_for_a_value_says_only_what_it_is_told_to) {
  const auto server = make_server();
  for (const std::string notice : {"", "rank 0 waits for a test"}) {
    std::atomic<int> looks{0};
    files::inject_clock([&] { return 10.0 * looks++; });
    testing::internal::CaptureStderr();
    const auto thrown = on_each(
        at_server(server, 1), [&](ProcessGroup& group) { group.get("never", notice); }, 80.0);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), notice.empty() ? "" : notice + "\n");
    EXPECT_TRUE(says(thrown[0], {"waiting for 'never'", "no rank has set it"}));
    files::inject_clock({});
  }
}

TEST_F(Meeting, a_long_wait_says_for_whom_and_how_to_train_alone) {
  const auto server = make_server();
  Cluster cluster = at_server(server, 4);
  cluster.kind = Cluster::Kind::slurm;
  run_fast();
  testing::internal::CaptureStderr();
  EXPECT_THROW(ProcessGroup(cluster, at::kCPU, {.timeout = 20.0}), DistributedError);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"rank 0 of 4 (SLURM started it) waits for ranks 1, 2, 3",
                    "to train alone in this shell, unset SLURM_PROCID"}));
}

TEST_F(Meeting, a_rank_that_cant_reach_rank_0_says_so) {
  Cluster cluster = member(1, 2);
  cluster.kind = Cluster::Kind::open_mpi;
  cluster.master_port = 1;  // nobody listens there
  run_fast();
  testing::internal::CaptureStderr();
  EXPECT_TRUE(says(
      message_of<DistributedError>([&] { ProcessGroup(cluster, at::kCPU, {.timeout = 20.0}); }),
      {"rank 1: the ranks didn't meet", "rank 0 didn't answer"}));
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"rank 1 of 2 (Open MPI started it) waits for rank 0, at 127.0.0.1:1",
                    "unset OMPI_COMM_WORLD_RANK"}));
}

TEST_F(Meeting, a_signal_ends_a_wait_for_a_value_that_never_comes) {
  const auto server = make_server();
  run_fast();
  const auto thrown = on_each(
      at_server(server, 1),
      [](ProcessGroup& group) {
        set_interrupted(true);
        group.get("never");
      },
      1e6);
  EXPECT_TRUE(says(thrown[0], {"waiting for 'never'", "after a signal asked to stop"}));
}

TEST_F(Meeting, a_signal_leaves_time_for_a_value_that_comes) {
  const auto server = make_server();
  const auto thrown = on_each(at_server(server, 2), [](ProcessGroup& group) {
    if (group.rank() == 1) {
      set_interrupted(true);
      EXPECT_EQ(group.get("late"), "1");
    } else {
      while (!is_interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      group.set("late", "1");
    }
  });
  for (const auto& message : thrown) EXPECT_EQ(message, "");
}

TEST_F(Meeting, what_was_in_memory_behind_an_address_isnt_sent) {
  sockaddr_storage storage;
  std::memset(&storage, 0x5a, sizeof(storage));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(4321);
  std::memcpy(&storage, &address, sizeof(address));
  std::vector<uint8_t> value = {1, 2, 3};
  const auto* bytes = reinterpret_cast<const uint8_t*>(&storage);
  for (int i = 0; i < 2; ++i) {
    value.insert(value.end(), bytes, bytes + sizeof(storage));
    value.insert(value.end(), {7, 8, 9});  // what follows stays
  }
  const auto before = value;
  clear_unused_bytes(value);
  EXPECT_EQ(std::count(value.begin(), value.end(), 0x5a), 0);
  EXPECT_EQ(std::memcmp(value.data() + 3, &address, sizeof(address)), 0);
  EXPECT_EQ(std::vector<uint8_t>(value.end() - 3, value.end()), (std::vector<uint8_t>{7, 8, 9}));
  EXPECT_EQ(value.size(), before.size());
  address.sin_addr.s_addr = htonl(0xc0000201);  // 192.0.2.1, which no host has (RFC 5737)
  std::memcpy(value.data() + 3, &address, sizeof(address));
  const auto foreign = value = std::vector<uint8_t>(value.begin(), value.begin() + 3 + 128);
  clear_unused_bytes(value);
  EXPECT_EQ(value, foreign);
}

}  // namespace levin::meeting_test
