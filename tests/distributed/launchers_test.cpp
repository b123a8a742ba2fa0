// The launchers of others start the same program: torchrun (it comes with LibTorch's wheel),
// mpirun, and plain environment variables as Kubernetes and SLURM set them, on one host and on two
// that are network namespaces.
#include <torch/torch.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

#include <levin/framework/launch/reserved_port.h>

#include "distributed/run_ranks.h"

namespace levin::test::launchers_test {

#ifndef LEVIN_TORCHRUN
#define LEVIN_TORCHRUN ""
#endif

class Launchers : public RanksTest {
 protected:
  static Value common() {
    Value value;
    value["global_batch_size"] = 12;
    value["evaluate"] = true;
    value["trainer"]["max_epochs"] = 2;
    return value;
  }

  static bool can_run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }

  /// torchrun makes a folder for logs that it leaves behind, so it must be one of the test's own.
  std::vector<std::string> torchrun(const std::vector<std::string>& options) const {
    std::vector<std::string> words = {LEVIN_TORCHRUN, "--no-python", "--log-dir",
                                      (folder_ / "logs").string()};
    words.insert(words.end(), options.begin(), options.end());
    return words;
  }

  void expect_equals_one_process(const Run& many, int64_t ranks) const {
    ASSERT_EQ(many.status, 0) << many.err;
    const auto one = run_on(1, "one-process", common());
    for (int64_t rank = 0; rank < ranks; ++rank) {
      EXPECT_LE(difference(many.rank(rank).child("model"), one.rank(0).child("model")), 1e-12);
      EXPECT_NEAR(many.values(rank).at("validate").at("val_loss").as_double(),
                  one.values().at("validate").at("val_loss").as_double(), 1e-12);
    }
  }
};

TEST_F(Launchers, torchrun_starts_the_ranks) {
  if (std::string(LEVIN_TORCHRUN).empty()) GTEST_SKIP() << "no torchrun";
  const auto many =
      run(settings("many", common()), torchrun({"--standalone", "--nproc-per-node", "2"}));
  expect_equals_one_process(many, 2);
}

TEST_F(Launchers, torchrun_starts_them_again_and_the_job_goes_on) {
  if (std::string(LEVIN_TORCHRUN).empty()) GTEST_SKIP() << "no torchrun";
  auto disturbed = common();
  disturbed["checkpoint"]["every_n_train_steps"] = 2;
  disturbed["fail"] = "throw";
  disturbed["fail_rank"] = 1;
  disturbed["fail_step"] = 9;
  disturbed["fail_once_file"] = (folder_ / "failed").string();
  const auto many = run(settings("many", disturbed),
                        torchrun({"--standalone", "--nproc-per-node", "2", "--max-restarts", "2"}));
  EXPECT_NE(many.err.find("training goes on from"), std::string::npos) << many.err;
  expect_equals_one_process(many, 2);
}

pid_t parent_of(pid_t process) {
  const auto status = read_file("/proc/" + std::to_string(process) + "/status");
  const auto place = status.find("PPid:");
  return place == std::string::npos ? 0 : std::atoi(status.c_str() + place + 5);
}

/// Two agents as on two hosts; one is lost with its rank, the other goes on alone.
TEST_F(Launchers, torchrun_goes_on_with_fewer_ranks_and_the_same_global_batches) {
  if (std::string(LEVIN_TORCHRUN).empty()) GTEST_SKIP() << "no torchrun";
  auto place = settings("many", common());
  place["trainer"]["max_epochs"] = 6;
  place["step_seconds"] = 0.1;
  place["checkpoint"]["every_n_train_steps"] = 2;
  place["mark_steps"] = (folder_ / "steps").string();
  const ReservedPort reserved;
  const auto port = std::to_string(reserved.number());
  const auto agent =
      torchrun({"--nnodes=1:2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d",
                "--rdzv-endpoint=127.0.0.1:" + port, "--rdzv-id=elastic-test"});
  auto host = agent, guest = agent;
  // An agent is lost after five seconds of silence; eight seconds later, the other gives up waiting
  // for one to take its place.
  const std::string waits = "keep_alive_interval=1,keep_alive_max_attempt=5,last_call_timeout=8";
  host.push_back("--rdzv-conf=is_host=1," + waits);
  guest.push_back("--rdzv-conf=is_host=0," + waits);
  const pid_t first = start(place, host, {}, "0");
  const pid_t second = start(place, guest, {}, "1");
  const auto marks = [&] { return read_file(folder_ / "steps"); };
  ASSERT_TRUE(eventually([&] { return lines_of(marks()).size() > 20; }, 120));
  ASSERT_NE(marks().find("\n1 "), std::string::npos) << "only one agent joined";
  std::set<pid_t> lost = {second};  // and its rank, which torchrun put into a session of its own
  for (const auto& line : lines_of(marks())) {
    int rank = 0, process = 0;
    if (std::sscanf(line.c_str(), "%d %d", &rank, &process) == 2 && parent_of(process) == second) {
      lost.insert(process);
    }
  }
  ASSERT_EQ(lost.size(), 2U);
  for (const pid_t process : lost) ::kill(process, SIGKILL);
  int status = 0;
  ::waitpid(second, &status, 0);
  const auto rest = wait(first, place, 180, "0");
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_NE(rest.err.find("training goes on from"), std::string::npos) << rest.err;
  auto alone = common();
  alone["trainer"]["max_epochs"] = 6;
  const auto one = run_on(1, "alone", alone);
  EXPECT_EQ(rest.values().at("world_size").as_int(), 1);
  EXPECT_LE(difference(rest.rank(0).child("model"), one.rank(0).child("model")), 1e-12);
}

TEST_F(Launchers, mpirun_starts_the_ranks) {
  if (!can_run("mpirun --version")) GTEST_SKIP() << "no mpirun";
  const auto many =
      run(settings("many", common()),
          {"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"});
  expect_equals_one_process(many, 2);
}

TEST_F(Launchers, the_example_scripts_start_the_ranks) {
  const std::string scripts = std::string(LEVIN_SOURCE_DIR) + "/examples/cluster/";
  if (can_run("mpirun --version")) {
    const auto many = run(settings("mpi", common()), {"sh", scripts + "openmpi.sh", "-n", "2"},
                          {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                           {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                           {"OMPI_MCA_rmaps_base_oversubscribe", "1"}});
    expect_equals_one_process(many, 2);
  }
  if (!std::string(LEVIN_TORCHRUN).empty()) {
    const ReservedPort port;
    const auto folder = fs::path(LEVIN_TORCHRUN).parent_path().string();
    const auto many = run(settings("torchrun", common()), {"sh", scripts + "torchrun.sh"},
                          {{"PATH", folder + ":" + std::getenv("PATH")},
                           {"HOST", "127.0.0.1"},
                           {"PORT", std::to_string(port.number())},
                           {"NODES", "1"},
                           {"DEVICES", "2"}});
    expect_equals_one_process(many, 2);
  }
}

TEST_F(Launchers, variables_of_kubernetes_and_slurm_are_enough) {
  for (const bool slurm : {false, true}) {
    SCOPED_TRACE(slurm);
    auto place = settings(slurm ? "slurm" : "kubernetes", common());
    place["trainer"]["num_nodes"] = 2;
    place["trainer"]["prepare_data_per_node"] = !slurm;
    place["count_prepares"] = true;
    std::vector<pid_t> started;
    const ReservedPort port;
    for (const char* rank : {"0", "1"}) {
      Environment variables = {{"MASTER_ADDR", "127.0.0.1"},
                               {"MASTER_PORT", std::to_string(port.number())}};
      if (slurm) {
        variables.insert({{"SLURM_PROCID", rank},
                          {"SLURM_NTASKS", "2"},
                          {"SLURM_LOCALID", "0"},
                          {"SLURM_NODEID", rank},
                          {"SLURM_NNODES", "2"},
                          {"SLURM_JOB_ID", "7"},
                          {"SLURM_STEP_ID", "0"},
                          {"SLURM_STEP_NODELIST", "localhost"},
                          {"SLURM_STEP_TASKS_PER_NODE", "1(x2)"},
                          {"SLURM_STEP_NUM_NODES", "2"},
                          {"SLURM_STEP_NUM_TASKS", "2"}});
      } else {
        variables.insert({{"RANK", rank}, {"WORLD_SIZE", "2"}});
      }
      started.push_back(start(place, {}, variables, rank));
    }
    const auto first = wait(started[0], place, 120, "0");
    const auto second = wait(started[1], place, 120, "1");
    EXPECT_EQ(second.status, 0) << second.err;
    expect_equals_one_process(first, 2);
    // For fit, validate, test, and predict twice.
    EXPECT_EQ(lines_of(read_file(first.folder / "prepared")).size(), slurm ? 5U : 10U);
    for (const int64_t host : {0, 1}) {
      EXPECT_EQ(first.values(host).at("place"), Value(Value::Array{host, 2, 0, 1}));
    }
  }
}

/// Two hosts: network namespaces with a cable between them.
class TwoHosts {
 public:
  TwoHosts() {
    const auto id = std::to_string(::getpid());
    for (const char* side : {"a", "b"}) names_.push_back("levin-" + id + side);
    const std::string a = names_[0], b = names_[1], va = "lv" + id + "a", vb = "lv" + id + "b";
    works_ = sh("ip netns add " + a) && sh("ip netns add " + b) &&
             sh("ip link add " + va + " netns " + a + " type veth peer name " + vb + " netns " + b);
    const std::vector<std::string> devices = {va, vb};
    for (size_t i = 0; works_ && i < 2; ++i) {
      const std::string in = "ip -n " + names_[i] + " ";
      works_ = sh(in + "addr add 10.77.0." + std::to_string(i + 1) + "/24 dev " + devices[i]) &&
               sh(in + "link set " + devices[i] + " up") && sh(in + "link set lo up");
    }
    cable_ = "ip -n " + a + " link set " + va + " ";
  }
  ~TwoHosts() {
    for (const auto& name : names_) sh("ip netns del " + name);
  }
  bool work() const { return works_; }
  std::vector<std::string> on(size_t host) const { return {"ip", "netns", "exec", names_[host]}; }
  void cut() const { sh(cable_ + "down"); }

 private:
  static bool sh(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }
  std::vector<std::string> names_;
  std::string cable_;
  bool works_ = false;
};

// "many machines": row 20, row 49.
TEST_F(Launchers, two_hosts_train_as_one_and_each_notices_a_cut_cable) {
  const TwoHosts hosts;
  if (!hosts.work()) GTEST_SKIP() << "no network namespaces here";
  const auto start_both = [&](const Value& place) {
    std::vector<pid_t> started;
    for (const char* rank : {"0", "1"}) {
      started.push_back(start(place, hosts.on(*rank == '0' ? 0 : 1),
                              {{"RANK", rank},
                               {"WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "10.77.0.1"},
                               {"MASTER_PORT", "29500"}},  // nobody else is in these namespaces
                              rank));
    }
    return started;
  };
  auto place = settings("many", common());
  place["trainer"]["num_nodes"] = 2;
  auto started = start_both(place);
  const auto first = wait(started[0], place, 120, "0");
  const auto second = wait(started[1], place, 120, "1");
  EXPECT_EQ(second.status, 0) << second.err;
  expect_equals_one_process(first, 2);

  auto endless = settings("endless", common());
  endless["trainer"]["num_nodes"] = 2;
  endless["trainer"]["max_epochs"] = 100000;
  endless["trainer"]["heartbeat_timeout"] = 3.0;
  endless["mark_steps"] = (folder_ / "steps").string();
  started = start_both(endless);
  ASSERT_TRUE(eventually([&] { return lines_of(read_file(folder_ / "steps")).size() > 20; }, 60));
  hosts.cut();
  for (const size_t host : {size_t{0}, size_t{1}}) {
    const auto ended = wait(started[host], endless, 60, std::to_string(host));
    EXPECT_EQ(ended.status, 1);
    EXPECT_NE(ended.err.find("has sent no heartbeat"), std::string::npos) << ended.err;
  }
}

}  // namespace levin::test::launchers_test
