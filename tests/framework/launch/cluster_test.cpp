#include <levin/framework/launch/cluster.h>

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/launch/slurm.h>

namespace levin::test::cluster_test {

using Environment = std::map<std::string, std::string>;

std::optional<Cluster> find_in(const Environment& environment) {
  return find_cluster([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

/// `environment` with a variable changed; "" takes it away.
Environment with(Environment environment, const std::string& name, const std::string& value) {
  environment.erase(name);
  if (!value.empty()) environment[name] = value;
  return environment;
}

std::string refusal(const Environment& environment) {
  return message_of<DistributedError>([&] { find_in(environment); });
}

struct Place {
  int64_t rank, world_size, local_rank, local_world_size, node_rank, num_nodes;
};

void expect_place(const Cluster& cluster, const Place& place) {
  EXPECT_EQ(cluster.rank, place.rank);
  EXPECT_EQ(cluster.world_size, place.world_size);
  EXPECT_EQ(cluster.local_rank, place.local_rank);
  EXPECT_EQ(cluster.local_world_size, place.local_world_size);
  EXPECT_EQ(cluster.node_rank, place.node_rank);
  EXPECT_EQ(cluster.num_nodes, place.num_nodes);
}

// As printed by `torchrun --no-python --nnodes 2 --nproc-per-node 2 env` (LibTorch 2.11).
const Environment kTorchrun = {{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "2"},
                               {"GROUP_RANK", "1"},
                               {"GROUP_WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "node0"},
                               {"MASTER_PORT", "29500"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"},
                               {"TORCHELASTIC_RUN_ID", "job-7"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"}};

const Environment kSlurm = {{"SLURM_JOB_ID", "123456"},
                            {"SLURM_JOB_NAME", "train"},
                            {"SLURM_JOB_NODELIST", "node[01-03,7],gpu5"},
                            {"SLURM_LOCALID", "0"},
                            {"SLURM_NNODES", "5"},
                            {"SLURM_NODEID", "4"},
                            {"SLURM_NTASKS", "9"},
                            {"SLURM_PROCID", "8"},
                            {"SLURM_STEP_ID", "0"},
                            {"SLURM_TASKS_PER_NODE", "2(x4),1"}};

// As printed by `mpirun -n 2 env` (Open MPI 4.1).
const Environment kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                              {"OMPI_COMM_WORLD_SIZE", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                              {"OMPI_COMM_WORLD_NODE_RANK", "1"},
                              {"PMIX_NAMESPACE", "3342337"},
                              {"PMIX_RANK", "1"}};

// As printed by `mpiexec.hydra -n 2 env` (MPICH 4.0).
const Environment kMpich = {
    {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}};

const Environment kKubernetes = {{"RANK", "2"},
                                 {"WORLD_SIZE", "3"},
                                 {"MASTER_ADDR", "job-master-0"},
                                 {"MASTER_PORT", "23456"},
                                 {"KUBERNETES_SERVICE_HOST", "10.0.0.1"}};

TEST(Cluster, is_none_where_nothing_launched) {
  EXPECT_FALSE(find_in({}).has_value());
  EXPECT_FALSE(find_in({{"HOME", "/root"}, {"RANK", "3"}, {"MASTER_PORT", "1"}}).has_value());
  EXPECT_FALSE(find_in({{"WORLD_SIZE", "2"}}).has_value());
  EXPECT_FALSE(find_in({{"PMI_RANK", "0"}}).has_value());
}

TEST(Cluster, reads_torchrun) {
  const auto cluster = find_in(kTorchrun);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::torchrun);
  expect_place(*cluster, {3, 4, 1, 2, 1, 2});
  EXPECT_EQ(cluster->master_address, "node0");
  EXPECT_EQ(cluster->master_port, 29500);
  EXPECT_EQ(cluster->restart_count, 2);
  EXPECT_EQ(cluster->run_id, "job-7");
  EXPECT_TRUE(cluster->launcher_serves_store);
  EXPECT_FALSE(
      find_in(with(kTorchrun, "TORCHELASTIC_USE_AGENT_STORE", "False"))->launcher_serves_store);
}

TEST(Cluster, reads_other_launchers_of_torchs_convention) {
  auto environment = kTorchrun;
  for (const char* name : {"TORCHELASTIC_RUN_ID", "GROUP_RANK", "GROUP_WORLD_SIZE"}) {
    environment.erase(name);
  }
  const auto cluster = find_in(environment);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::torchrun);
  expect_place(*cluster, {3, 4, 1, 2, 1, 2});
}

TEST(Cluster, refuses_what_contradicts_itself) {
  EXPECT_TRUE(says(refusal(with(kTorchrun, "RANK", "x")),
                   {"RANK = x", "torchrun", "must be a whole number", "torchrun --no-python"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "RANK", "3.5")), {"RANK = 3.5", "whole number"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "RANK", "-1")), {"RANK = -1", "at least 0"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "RANK", "99999999999999999999")), {"RANK = 999"}));
  EXPECT_TRUE(
      says(refusal(with(kTorchrun, "RANK", "4")), {"RANK = 4", "less than WORLD_SIZE = 4"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "WORLD_SIZE", "0")), {"WORLD_SIZE = 0", "at least 1"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "LOCAL_RANK", "2")),
                   {"LOCAL_RANK = 2", "less than LOCAL_WORLD_SIZE = 2"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "LOCAL_WORLD_SIZE", "5")),
                   {"LOCAL_WORLD_SIZE = 5", "at most WORLD_SIZE = 4"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "GROUP_RANK", "2")), {"GROUP_RANK = 2"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "MASTER_PORT", "")), {"MASTER_PORT isn't set"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "MASTER_PORT", "70000")),
                   {"MASTER_PORT = 70000", "from 1 to 65535"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "MASTER_ADDR", "")), {"MASTER_ADDR isn't set"}));
  EXPECT_TRUE(says(refusal(with(kTorchrun, "WORLD_SIZE", "")), {"WORLD_SIZE isn't set"}));
}

TEST(Cluster, reads_its_own_launcher_before_any_other) {
  auto environment = kSlurm;
  environment.merge(Environment(kTorchrun));
  environment.merge(
      Environment{{"LEVIN_LAUNCHED", "1"}, {"LEVIN_RESTART_COUNT", "1"}, {"LEVIN_RUN_ID", "00ff"}});
  const auto cluster = find_in(environment);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::launcher);
  expect_place(*cluster, {3, 4, 1, 2, 1, 2});
  EXPECT_EQ(cluster->restart_count, 1);
  EXPECT_EQ(cluster->run_id, "00ff");
  EXPECT_FALSE(cluster->launcher_serves_store);
  EXPECT_TRUE(says(refusal(with(environment, "RANK", "")), {"RANK isn't set", "LEVIN_LAUNCHED"}));
}

TEST(Cluster, reads_slurm_steps) {
  const auto cluster = find_in(kSlurm);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::slurm);
  expect_place(*cluster, {8, 9, 0, 1, 4, 5});
  EXPECT_EQ(cluster->master_address, "node01");
  EXPECT_GE(cluster->master_port, 15000);
  EXPECT_LT(cluster->master_port, 25000);
  EXPECT_TRUE(cluster->may_choose_port);
  EXPECT_EQ(cluster->run_id, "123456.0");
}

TEST(Cluster, gives_steps_and_jobs_that_may_share_a_host_ports_of_their_own) {
  std::set<int64_t> ports;
  for (int job = 123456; job < 123461; ++job) {
    for (int step = 0; step < 5; ++step) {
      const auto environment = with(with(kSlurm, "SLURM_JOB_ID", std::to_string(job)),
                                    "SLURM_STEP_ID", std::to_string(step));
      const auto cluster = find_in(environment);
      ASSERT_TRUE(cluster.has_value());
      ports.insert(cluster->master_port);
      EXPECT_EQ(find_in(with(environment, "SLURM_PROCID", "0"))->run_id, cluster->run_id);
    }
  }
  EXPECT_EQ(ports.size(), 25U);
  // A port that was given is used as it is.
  EXPECT_FALSE(find_in(with(kSlurm, "MASTER_PORT", "1234"))->may_choose_port);
  EXPECT_FALSE(find_in(kTorchrun)->may_choose_port);
}

TEST(Cluster, takes_the_secret_from_every_launcher) {
  for (const auto& environment : {kSlurm, kTorchrun, kOpenMpi, kMpich, kKubernetes}) {
    EXPECT_EQ(find_in(environment)->secret, "");
    EXPECT_EQ(find_in(with(environment, "LEVIN_RUN_SECRET", "s3cret"))->secret, "s3cret");
  }
}

TEST(Cluster, says_how_to_train_alone_and_that_works) {
  for (const auto& environment : {kSlurm, kTorchrun, kOpenMpi, kMpich, kKubernetes}) {
    auto rest = environment;
    const std::string hint = how_to_train_alone(find_in(environment)->kind);
    EXPECT_TRUE(says(hint, {"to train alone in this shell, unset "}));
    for (const auto& [name, value] : environment) {
      const auto at = hint.find(name);
      const bool is_word = at != std::string::npos && hint[at - 1] == ' ' &&
                           (at + name.size() == hint.size() || hint[at + name.size()] == ',' ||
                            hint[at + name.size()] == ' ');
      if (is_word) rest.erase(name);
    }
    EXPECT_LT(rest.size(), environment.size());
    EXPECT_FALSE(find_in(rest).has_value()) << hint;
  }
  EXPECT_TRUE(
      says(how_to_train_alone(Cluster::Kind::launcher), {"set devices and num_nodes to 1"}));
}

TEST(Cluster, an_id_made_of_an_address_is_not_a_jobs_own) {
  Cluster cluster;
  for (const auto& [id, is_own] : std::map<std::string, bool>{
           {"none", false}, {"none:10.0.0.1:29500", false}, {"nonesuch", true}, {"7.0", true}}) {
    cluster.run_id = id;
    EXPECT_EQ(cluster.has_own_run_id(), is_own) << id;
  }
}

TEST(Cluster, takes_the_steps_variables_before_the_jobs) {
  auto environment = kSlurm;  // srun -n 2 -w gpu5,gpu6 within a larger job
  environment.merge(Environment{{"SLURM_STEP_NUM_TASKS", "2"},
                                {"SLURM_STEP_NUM_NODES", "2"},
                                {"SLURM_STEP_NODELIST", "gpu[5-6]"},
                                {"SLURM_STEP_TASKS_PER_NODE", "1(x2)"}});
  environment["SLURM_PROCID"] = environment["SLURM_NODEID"] = "1";
  auto cluster = find_in(environment);
  ASSERT_TRUE(cluster.has_value());
  expect_place(*cluster, {1, 2, 0, 1, 1, 2});
  EXPECT_EQ(cluster->master_address, "gpu5");
  environment["MASTER_ADDR"] = "10.1.1.1";
  environment["MASTER_PORT"] = "1234";
  cluster = find_in(environment);
  EXPECT_EQ(cluster->master_address, "10.1.1.1");
  EXPECT_EQ(cluster->master_port, 1234);
}

TEST(Cluster, reads_the_older_names_of_variables_too) {
  auto environment = with(with(kSlurm, "SLURM_JOB_ID", ""), "SLURM_STEP_ID", "");
  environment["SLURM_JOBID"] = "77";
  EXPECT_FALSE(find_in(environment).has_value()) << "a shell of salloc";
  environment["SLURM_STEPID"] = "2";
  auto cluster = find_in(environment);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->run_id, "77.2");
  EXPECT_TRUE(says(refusal(with(environment, "SLURM_JOBID", "")), {"MASTER_PORT isn't set"}));
  environment = with(kOpenMpi, "PMIX_NAMESPACE", "");
  environment["OMPI_MCA_ess_base_jobid"] = "3342337";
  cluster = find_in(environment);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->run_id, "3342337");
  EXPECT_EQ(cluster->master_port, find_in(kOpenMpi)->master_port);
}

TEST(Cluster, leaves_slurms_shells_alone) {
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_STEP_ID", "")).has_value());            // sbatch
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_STEP_ID", "4294967291")).has_value());  // the same
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_STEP_ID", "4294967290")).has_value());  // salloc
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_PROCID", "")).has_value());
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_JOB_NAME", "bash")).has_value());
  EXPECT_FALSE(find_in(with(kSlurm, "SLURM_JOB_NAME", "interactive")).has_value());
}

TEST(Cluster, refuses_malformed_slurm_variables) {
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_PROCID", "9")),
                   {"SLURM_PROCID = 9", "SLURM_NTASKS = 9", "srun"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_NTASKS", "many")), {"SLURM_NTASKS = many"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "MASTER_PORT", "70000")),
                   {"MASTER_PORT = 70000 (in a process that SLURM started): the value must be from "
                    "1 to 65535"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_TASKS_PER_NODE", "2(x4")),
                   {"SLURM_TASKS_PER_NODE = '2(x4'"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_TASKS_PER_NODE", "2(x9)")),
                   {"SLURM_NTASKS_PER_NODE isn't set"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_LOCALID", "1")),
                   {"SLURM_LOCALID = 1", "less than 1, the number of tasks of this node"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_NODEID", "5")), {"SLURM_NODEID = 5"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_JOB_NODELIST", "node[01-")),
                   {"SLURM_JOB_NODELIST = 'node[01-'", "MASTER_ADDR"}));
  EXPECT_TRUE(says(refusal(with(kSlurm, "SLURM_JOB_NODELIST", "")), {"MASTER_ADDR isn't set"}));
}

TEST(Cluster, expands_slurms_host_lists) {
  using Hosts = std::vector<std::string>;
  const auto expand = [](std::string_view list) { return expand_host_list("NODES", list); };
  EXPECT_EQ(expand("node[01-03,7],gpu5"), (Hosts{"node01", "node02", "node03", "node7", "gpu5"}));
  EXPECT_EQ(expand("a"), Hosts{"a"});
  EXPECT_EQ(expand("a,b c"), (Hosts{"a", "b", "c"}));
  EXPECT_EQ(expand("n[8-11]-ib"), (Hosts{"n8-ib", "n9-ib", "n10-ib", "n11-ib"}));
  EXPECT_EQ(expand("r[1-2]n[08-09]"), (Hosts{"r1n08", "r1n09", "r2n08", "r2n09"}));
  for (const char* wrong : {"", ",", "n[", "n[]", "n[3-1]", "n[a]", "n]3[", "n[1,]x[", "n[1--2]",
                            "n[0-999999999]", "n[1-99999],m[1-99999]", "n[1-9999999999]"}) {
    EXPECT_THROW(expand(wrong), DistributedError) << wrong;
  }
  EXPECT_EQ(expand_counts("COUNTS", "2(x3),1"), (std::vector<int64_t>{2, 2, 2, 1}));
  EXPECT_EQ(expand_counts("COUNTS", "4"), std::vector<int64_t>{4});
  for (const char* wrong : {"", "x", "2(x", "2(x)", "(x3)", "2(x3)4", "1,,2", "2(x999999999)"}) {
    EXPECT_THROW(expand_counts("COUNTS", wrong), DistributedError) << wrong;
  }
}

TEST(Cluster, reads_open_mpi_on_one_host) {
  const auto cluster = find_in(kOpenMpi);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::open_mpi);
  expect_place(*cluster, {1, 2, 1, 2, 0, 1});
  EXPECT_EQ(cluster->master_address, "127.0.0.1");
  EXPECT_GE(cluster->master_port, 15000);
  EXPECT_LT(cluster->master_port, 25000);
  // All ranks of a job find the same port, another job another one.
  auto first = kOpenMpi;
  first["OMPI_COMM_WORLD_RANK"] = first["OMPI_COMM_WORLD_LOCAL_RANK"] = "0";
  EXPECT_EQ(find_in(first)->master_port, cluster->master_port);
  EXPECT_NE(find_in(with(first, "PMIX_NAMESPACE", "3342338"))->master_port, cluster->master_port);
}

TEST(Cluster, asks_mpi_on_several_hosts_for_an_address) {
  auto environment = with(kOpenMpi, "OMPI_COMM_WORLD_SIZE", "4");
  EXPECT_TRUE(says(refusal(environment), {"MASTER_ADDR isn't set", "several hosts",
                                          "mpirun -x MASTER_ADDR=HOST_OF_RANK_0"}));
  environment["MASTER_ADDR"] = "node1";
  EXPECT_EQ(find_in(environment)->master_address, "node1");
  EXPECT_EQ(find_in(environment)->num_nodes, 2);

  environment = with(kMpich, "PMI_SIZE", "4");
  EXPECT_TRUE(says(refusal(environment), {"MASTER_ADDR isn't set", "-genv MASTER_ADDR"}));
  environment["MASTER_ADDR"] = "node1";  // Hydra has no job id that all hosts know
  EXPECT_TRUE(says(refusal(environment), {"MASTER_PORT isn't set", "-genv MASTER_PORT VALUE"}));
  environment["MASTER_PORT"] = "1234";
  EXPECT_EQ(find_in(environment)->master_port, 1234);
}

TEST(Cluster, reads_mpich_on_one_host) {
  const auto cluster = find_in(kMpich);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::mpich);
  expect_place(*cluster, {1, 2, 1, 2, 0, 1});
  EXPECT_EQ(cluster->master_address, "127.0.0.1");
  EXPECT_EQ(find_in(kMpich)->master_port, cluster->master_port);
  // The ranks know each other by the process that started them; another job has another one.
  EXPECT_EQ(find_in(with(kMpich, "PMI_RANK", "0"))->run_id, cluster->run_id);
  EXPECT_TRUE(says(cluster->run_id, {"parent "}));
  EXPECT_EQ(find_in(with(kMpich, "PMI_JOBID", "7"))->run_id, "7");
  EXPECT_TRUE(says(refusal(with(kMpich, "MPI_LOCALRANKID", "7")),
                   {"MPI_LOCALRANKID = 7", "MPI_LOCALNRANKS = 2"}));
}

TEST(Cluster, prefers_mpi_to_the_slurm_job_it_runs_in) {
  auto environment = kSlurm;
  environment.merge(Environment(kOpenMpi));
  EXPECT_EQ(find_in(environment)->kind, Cluster::Kind::open_mpi);
  environment = kSlurm;
  environment.merge(Environment{{"PMI_RANK", "8"}, {"PMI_SIZE", "9"}});  // srun --mpi=pmi2
  EXPECT_EQ(find_in(environment)->kind, Cluster::Kind::slurm);
}

TEST(Cluster, reads_kubernetes) {
  const auto cluster = find_in(kKubernetes);
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->kind, Cluster::Kind::kubernetes);
  expect_place(*cluster, {2, 3, 0, 1, 2, 3});
  EXPECT_EQ(cluster->master_address, "job-master-0");
  EXPECT_EQ(cluster->master_port, 23456);
  EXPECT_TRUE(says(refusal(with(kKubernetes, "MASTER_PORT", "")),
                   {"MASTER_PORT isn't set", "Kubernetes", "PyTorchJob"}));
  EXPECT_TRUE(says(refusal(with(kKubernetes, "MASTER_ADDR", "")), {"MASTER_ADDR isn't set"}));
  EXPECT_TRUE(says(refusal(with(kKubernetes, "RANK", "")), {"RANK isn't set"}));
  EXPECT_TRUE(says(refusal(with(kKubernetes, "RANK", "3")), {"RANK = 3", "WORLD_SIZE = 3"}));
}

TEST(Cluster, reads_the_process_environment_by_default) { EXPECT_NO_THROW(find_cluster()); }

}  // namespace levin::test::cluster_test
