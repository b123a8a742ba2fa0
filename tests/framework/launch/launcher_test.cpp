#include <levin/framework/launch/launcher.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <set>

#include "framework/launch/launcher_fixture.h"
#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/launch/reserved_port.h>

namespace levin::test::launcher_test {

std::map<std::string, std::string> environment_in(const std::string& text) {
  std::map<std::string, std::string> environment;
  for (const auto& line : lines_of(text)) {
    const size_t end = line.find('=');
    if (end != std::string::npos) environment[line.substr(0, end)] = line.substr(end + 1);
  }
  return environment;
}

Cluster cluster_in(const std::map<std::string, std::string>& environment) {
  const auto cluster = find_cluster([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
  EXPECT_TRUE(cluster.has_value());
  return cluster.value_or(Cluster{});
}

// Row 48: the launcher.
TEST_F(LauncherTest, tells_each_rank_its_place) {
  const auto ended = run(ranks(3, "env > env.$RANK"),
                         [] { ::setenv("TORCHELASTIC_ERROR_FILE", "/somebody/else's", 1); });
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  std::set<int64_t> ports;
  std::set<std::string> run_ids;
  for (int64_t rank = 0; rank < 3; ++rank) {
    const auto environment = environment_in(text("env." + std::to_string(rank)));
    const Cluster cluster = cluster_in(environment);
    EXPECT_EQ(cluster.kind, Cluster::Kind::launcher);
    EXPECT_EQ(cluster.rank, rank);
    EXPECT_EQ(cluster.local_rank, rank);
    EXPECT_EQ(cluster.world_size, 3);
    EXPECT_EQ(cluster.local_world_size, 3);
    EXPECT_EQ(cluster.num_nodes, 1);
    EXPECT_EQ(cluster.master_address, "127.0.0.1");
    EXPECT_EQ(cluster.restart_count, 0);
    EXPECT_EQ(environment.count("TORCHELASTIC_ERROR_FILE"), 0U);
    ports.insert(cluster.master_port);
    run_ids.insert(cluster.run_id);
  }
  EXPECT_EQ(ports.size(), 1U);
  EXPECT_EQ(run_ids.size(), 1U);
  EXPECT_EQ(run_ids.begin()->size(), 16U);
}

TEST_F(LauncherTest, gives_the_ranks_of_a_host_a_secret_of_their_own) {
  const auto secrets_of = [&](const char* given) {
    const auto ended = run(ranks(2, "env > env.$RANK"), [given] {
      ::unsetenv("LEVIN_RUN_SECRET");
      if (given != nullptr) ::setenv("LEVIN_RUN_SECRET", given, 1);
    });
    EXPECT_EQ(ended.status, 0) << ended.err;
    std::set<std::string> secrets;
    for (const char* file : {"env.0", "env.1"}) {
      secrets.insert(cluster_in(environment_in(text(file))).secret);
    }
    EXPECT_EQ(secrets.size(), 1U);
    return *secrets.begin();
  };
  const auto first = secrets_of(nullptr);
  EXPECT_EQ(first.size(), 32U);
  EXPECT_NE(secrets_of(nullptr), first);
  EXPECT_EQ(secrets_of("chosen"), "chosen");
}

TEST_F(LauncherTest, output_that_cannot_be_written_is_lost_and_no_end) {
  const auto options = ranks(2, "test $RANK = 0 || yes | head -c 300000; touch done.$RANK");
  const std::function<void()> causes[] = {
      [] {
        const rlimit limit = {.rlim_cur = 65536, .rlim_max = 65536};
        ::setrlimit(RLIMIT_FSIZE, &limit);
      },
      [] { ::dup2(::open("/dev/full", O_WRONLY | O_CLOEXEC), 1); }};
  for (const auto& cause : causes) {
    EXPECT_EQ(run(options, cause).status, 0);
    for (const char* name : {"done.0", "done.1"}) {
      EXPECT_TRUE(has(name)) << name;
      fs::remove(folder_ / name);
    }
  }
}

TEST_F(LauncherTest, counts_ranks_over_hosts) {
  auto options = ranks(2, "env > env.$RANK; echo from $RANK");
  options.num_nodes = 3;
  options.node_rank = 1;
  options.master_address = "node0";
  options.master_port = 1234;
  const auto ended = run(options);
  EXPECT_EQ(ended.status, 0) << ended.err;
  const Cluster cluster = cluster_in(environment_in(text("env.3")));
  EXPECT_EQ(cluster.rank, 3);
  EXPECT_EQ(cluster.local_rank, 1);
  EXPECT_EQ(cluster.world_size, 6);
  EXPECT_EQ(cluster.node_rank, 1);
  EXPECT_EQ(cluster.num_nodes, 3);
  EXPECT_EQ(cluster.master_address, "node0");
  EXPECT_EQ(cluster.master_port, 1234);
  EXPECT_EQ(cluster.run_id, "none:node0:1234");  // the same on all hosts
  EXPECT_FALSE(cluster.has_own_run_id());        // and perhaps that of the next job as well
  EXPECT_NE(ended.out.find("[rank 2] from 2\n"), std::string::npos) << ended.out;
}

TEST_F(LauncherTest, shares_out_the_cores_unless_the_user_did) {
  cpu_set_t cores;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(cores), &cores), 0);
  const auto two = ranks(2, "echo $OMP_NUM_THREADS > threads.$RANK");
  EXPECT_EQ(run(two).status, 0);
  EXPECT_EQ(text("threads.1"), std::to_string(std::max(1, CPU_COUNT(&cores) / 2)) + "\n");
  EXPECT_EQ(run(two, [] { ::setenv("OMP_NUM_THREADS", "5", 1); }).status, 0);
  EXPECT_EQ(text("threads.1"), "5\n");
  EXPECT_EQ(run(ranks(1, "echo x$OMP_NUM_THREADS > threads.0")).status, 0);
  EXPECT_EQ(text("threads.0"), "x\n");
}

TEST_F(LauncherTest, keeps_rank_0s_output_as_it_is_and_prefixes_the_others) {
  const auto ended = run(ranks(2, R"(
    if [ $RANK = 1 ]; then
      printf 'first\n\nlast without an end'; echo careful >&2; touch done
    else
      until [ -e done ]; do sleep 0.01; done
      until [ $(wc -l < out) = 2 ]; do sleep 0.01; done; printf 'half '; printf '{"x": 1}\n'
    fi)"));
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out,
            "[rank 1] first\n[rank 1] \nhalf {\"x\": 1}\n[rank 1] last without an end\n");
  EXPECT_EQ(ended.err, "[rank 1] careful\n");
}

TEST_F(LauncherTest, passes_on_many_and_long_lines_whole) {
  const auto ended = run(ranks(4, R"(
    if [ $RANK = 0 ]; then exit 0; fi
    i=0; while [ $i -lt 500 ]; do echo "line $i"; i=$((i+1)); done
    head -c 300000 /dev/zero | tr '\0' $RANK)"));
  EXPECT_EQ(ended.status, 0);
  std::map<std::string, int> counts;  // of each rank's lines
  for (const auto& line : lines_of(ended.out)) {
    ASSERT_TRUE(line.starts_with("[rank ") && line.size() > 9) << line.substr(0, 80);
    const std::string rank = line.substr(6, 1);
    const int count = counts[rank]++;
    const std::string expected =
        count < 500 ? "line " + std::to_string(count) : std::string(300000, rank[0]);
    EXPECT_TRUE(line.substr(9) == expected) << line.substr(0, 80);
  }
  EXPECT_EQ(counts, (std::map<std::string, int>{{"1", 501}, {"2", 501}, {"3", 501}}));
}

TEST_F(LauncherTest, keeps_watch_while_nobody_reads_its_output) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t supervisor = start(ranks(3, R"(echo $$ > pid.$RANK; n=0
    while [ $RANK = 1 ]; do yes | head -c 10000; n=$((n+1)); echo $n > written; done
    if [ $RANK = 2 ]; then until [ -e go ]; do sleep 0.01; done; exit 4; fi; sleep 3600)"),
                                 [&] {
                                   ::dup2(ends[1], 1);
                                   ::close(ends[0]);
                                   ::close(ends[1]);
                                 });
  ::close(ends[1]);
  const pid_t first = process("pid.0");
  // With the prefixes that is 660,000 bytes: more than the pipes hold.
  EXPECT_TRUE(eventually([&] { return std::atoi(text("written").c_str()) >= 12; }));
  std::ofstream(folder_ / "go") << "";
  EXPECT_TRUE(eventually([&] { return ::kill(first, 0) != 0; }));
  std::string read;
  std::vector<char> buffer(65536);
  for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    read.append(buffer.data(), static_cast<size_t>(got));
  }
  ::close(ends[0]);
  const auto ended = wait(supervisor);
  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(last_line(ended.err), "rank 2 failed: exit status 4");
  EXPECT_GT(read.size(), 500000U);
}

TEST_F(LauncherTest, goes_on_where_its_output_is_closed) {
  const auto ended = run(ranks(2, "echo text; echo text >&2; touch done.$RANK"), [] {
    for (const int standard : {0, 1, 2}) ::close(standard);
  });
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(has("done.1"));
}

TEST_F(LauncherTest, files_the_others_output) {
  auto options = ranks(2, "echo out $RANK; echo err $RANK >&2");
  options.output_folder = (folder_ / "logs" / "ranks").string();
  EXPECT_EQ(run(options).status, 0);
  const auto ended = run(options);
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "out 0\nout 0\n");
  EXPECT_EQ(ended.err, "err 0\nerr 0\n");
  EXPECT_EQ(text("logs/ranks/rank-1.out"), "out 1\nout 1\n");  // nothing is overwritten
  EXPECT_EQ(text("logs/ranks/rank-1.err"), "err 1\nerr 1\n");
  EXPECT_FALSE(has("logs/ranks/rank-0.out"));
}

TEST_F(LauncherTest, gives_its_input_to_rank_0_alone) {
  std::ofstream(folder_ / "in") << "typed\n";
  const auto ended = run(ranks(2, "cat > in.$RANK"));
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(text("in.0"), "typed\n");
  EXPECT_EQ(text("in.1"), "");
}

TEST_F(LauncherTest, gives_each_rank_a_process_group_of_its_own) {
  const pid_t supervisor =
      start(ranks(2, "echo $$ > pid.$RANK; until [ -e go ]; do sleep 0.01; done"));
  for (const char* name : {"pid.0", "pid.1"}) {
    const pid_t rank = process(name);
    EXPECT_EQ(::getpgid(rank), rank);
  }
  std::ofstream(folder_ / "go") << "";
  EXPECT_EQ(wait(supervisor).status, 0);
}

TEST_F(LauncherTest, leaves_nothing_of_what_a_rank_started) {
  EXPECT_EQ(run(ranks(2, "sleep 3600 & exit 0")).status, 0);
  EXPECT_TRUE(has_no_children());
}

TEST_F(LauncherTest, says_what_it_cant_start) {
  auto options = ranks(3, "");
  options.command = {"/no/such/program"};
  auto ended = run(options);
  EXPECT_EQ(ended.status, 98);
  EXPECT_TRUE(says(
      ended.err, {"thrown: ", "can't start the ranks' program '/no/such/program': No such file"}));
  options.command = {"no-such-program-anywhere"};
  ended = run(options);
  EXPECT_TRUE(
      says(ended.err, {"can't find the ranks' program 'no-such-program-anywhere'", "PATH"}));
}

TEST_F(LauncherTest, refuses_options_that_cant_be) {
  const auto refusal = [](const LaunchOptions& options) {
    return message_of<ConfigError>([&] { launch(options); });
  };
  EXPECT_TRUE(says(refusal({.processes = 0}), {"processes = 0", "at least 1"}));
  EXPECT_TRUE(says(refusal({.num_nodes = 2, .node_rank = 2}), {"node_rank = 2", "from 0 to 1"}));
  EXPECT_TRUE(says(refusal({.num_nodes = 2, .master_port = 5}), {"master_address"}));
  EXPECT_TRUE(says(refusal({.num_nodes = 2, .master_address = "a"}), {"master_port = 0"}));
  EXPECT_TRUE(says(refusal({.master_port = 65536}), {"master_port = 65536"}));
  EXPECT_TRUE(says(refusal({.max_restarts = -1}), {"max_restarts = -1"}));
  EXPECT_TRUE(says(refusal({.grace_seconds = -1}), {"grace_seconds = -1"}));
}

// Not a test of its own: what the next one runs, once to launch and twice as a rank.
TEST(LauncherProgram, DISABLED_launches_itself) {
  if (std::getenv("LEVIN_LAUNCHED") == nullptr) ::_exit(launch({.processes = 2}));
  std::ofstream(std::string("rank.") + std::getenv("RANK")) << read_file("/proc/self/cmdline");
  ::_exit(0);
}

TEST_F(LauncherTest, runs_its_own_program_by_default) {
  auto options = ranks(1, "exec '" + fs::read_symlink("/proc/self/exe").string() +
                              "' --gtest_filter=LauncherProgram.DISABLED_launches_itself "
                              "--gtest_also_run_disabled_tests 'an argument'");
  // The rank of this launch is the program of the next: it must not take itself for a rank.
  options.command[2].replace(options.command[2].find("exec"), 4, "unset LEVIN_LAUNCHED; exec");
  const auto ended = run(options);
  EXPECT_EQ(ended.status, 0) << ended.err;
  for (const char* name : {"rank.0", "rank.1"}) {
    EXPECT_TRUE(says(text(name), {"DISABLED_launches_itself", "an argument"}));
  }
}

TEST(ReservedPort, goes_to_whoever_asks_for_it_by_number_alone) {
  const ReservedPort port;
  const auto bind_to = [](int number, bool reuse) {
    const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = reuse ? 1 : 0;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(number));
    const auto* any = reinterpret_cast<const sockaddr*>(&address);
    return ::bind(socket.get(), any, sizeof(address)) == 0 && ::listen(socket.get(), 1) == 0;
  };
  ASSERT_GT(port.number(), 0);
  EXPECT_FALSE(bind_to(static_cast<int>(port.number()), false));
  EXPECT_TRUE(bind_to(static_cast<int>(port.number()), true));
  EXPECT_NE(ReservedPort().number(), port.number());
}

}  // namespace levin::test::launcher_test
