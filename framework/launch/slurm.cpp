#include <levin/framework/launch/slurm.h>

#include <algorithm>
#include <initializer_list>
#include <numeric>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/launch/cluster_variables.h>

namespace levin {
namespace {

constexpr size_t kMostHosts = 100000;
constexpr size_t kMostDigits = 9;
/// The variables that hold the numbers of the job and of the step, the present name first.
constexpr std::initializer_list<const char*> kJobId = {"SLURM_JOB_ID", "SLURM_JOBID"};
constexpr std::initializer_list<const char*> kStepId = {"SLURM_STEP_ID", "SLURM_STEPID"};

/// The variable and the value that are being parsed; error messages name them.
struct Source {
  std::string_view variable;
  std::string_view list;

  [[noreturn]] void refuse(std::string_view why) const {
    throw DistributedError(
        fmt::format("{} = '{}': {}; SLURM sets this variable itself: start with srun and leave it "
                    "as it is, or set MASTER_ADDR, MASTER_PORT and the ranks' variables yourself",
                    variable, list, why));
  }
  [[noreturn]] void refuse_length() const {
    refuse(fmt::format("the list is longer than {} hosts", kMostHosts));
  }
  int64_t number(std::string_view digits) const {
    const auto value = number_in<int64_t>(digits);
    if (!value || *value < 0 || digits.size() > kMostDigits) {
      refuse(fmt::format("'{}' isn't a whole number", digits));
    }
    return *value;
  }
};

/// Removes the text before the next separator from the front of `rest` and returns it. Separators
/// in brackets don't count.
std::string_view take_until(std::string_view& rest, std::string_view separators) {
  int depth = 0;
  size_t i = 0;
  for (; i < rest.size(); ++i) {
    if (rest[i] == '[') ++depth;
    if (rest[i] == ']') --depth;
    if (depth <= 0 && separators.find(rest[i]) != std::string_view::npos) break;
  }
  const std::string_view taken = rest.substr(0, i);
  rest.remove_prefix(std::min(i + 1, rest.size()));
  return taken;
}

/// `01-03,7` -> 01, 02, 03, 7.
std::vector<std::string> expand_ranges(const Source& source, std::string_view ranges) {
  std::vector<std::string> numbers;
  if (ranges.empty()) source.refuse("there are brackets without a number between them");
  while (!ranges.empty()) {
    const std::string_view range = take_until(ranges, ",");
    const size_t dash = range.find('-');
    const std::string_view first = range.substr(0, dash);
    const int64_t from = source.number(first);
    const int64_t to =
        dash == std::string_view::npos ? from : source.number(range.substr(dash + 1));
    if (to < from) source.refuse(fmt::format("the range '{}' runs backwards", range));
    if (static_cast<size_t>(to - from) >= kMostHosts) source.refuse_length();
    for (int64_t n = from; n <= to; ++n) numbers.push_back(fmt::format("{:0{}}", n, first.size()));
  }
  return numbers;
}

/// `rack[1-2]node[01-02]` -> rack1node01, rack1node02, rack2node01, rack2node02.
std::vector<std::string> expand_name(const Source& source, std::string_view name) {
  std::vector<std::string> hosts(1);
  while (!name.empty()) {
    const size_t open = name.find('[');
    for (auto& host : hosts) host += name.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = name.find(']', open);
    if (close == std::string_view::npos) source.refuse("a '[' has no ']'");
    const auto numbers = expand_ranges(source, name.substr(open + 1, close - open - 1));
    if (hosts.size() * numbers.size() > kMostHosts) source.refuse_length();
    std::vector<std::string> longer;
    for (const auto& host : hosts) {
      for (const auto& number : numbers) longer.push_back(host + number);
    }
    hosts = std::move(longer);
    name.remove_prefix(close + 1);
  }
  return hosts;
}

/// Returns whether srun started this process. Batch scripts and the shells of salloc have a
/// reserved step number or none. Source: SLURM's slurm.h, SLURM_BATCH_SCRIPT and the constants
/// beside it.
bool is_in_srun(const EnvironmentLookup& lookup) {
  constexpr uint64_t kFirstReserved = 0xfffffff0;
  const ClusterVariables variables(lookup, Cluster::Kind::slurm);
  if (!variables.has("SLURM_PROCID")) return false;
  const auto name = variables.text("SLURM_JOB_NAME");
  if (name == "bash" || name == "interactive") return false;
  const auto step = variables.text(variables.first_set(kStepId));
  const auto number = number_in<uint64_t>(step);
  return number && *number < kFirstReserved;
}

/// Returns the number of ranks on this host. Some variables may describe the whole job instead of
/// this step, so the first one whose sum equals the number of ranks is used.
int64_t ranks_on_node(const ClusterVariables& variables, const Cluster& cluster) {
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    if (!variables.has(name)) continue;
    const auto counts = expand_counts(name, variables.text(name));
    const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    if (sum != cluster.world_size) continue;
    if (static_cast<size_t>(cluster.node_rank) >= counts.size()) {
      variables.refuse(name, fmt::format("has no number for node {}", cluster.node_rank));
    }
    return counts[static_cast<size_t>(cluster.node_rank)];
  }
  if (cluster.num_nodes == 1) return cluster.world_size;
  const char* name = "SLURM_NTASKS_PER_NODE";
  const int64_t count = variables.number(name, 1);
  if (count * cluster.num_nodes != cluster.world_size) {
    variables.refuse(name, fmt::format("times {} nodes isn't the number of tasks ({})",
                                       cluster.num_nodes, cluster.world_size));
  }
  return count;
}

void find_slurm_master(const ClusterVariables& variables, Cluster& cluster) {
  const char* nodes = variables.first_set(
      {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST", "MASTER_ADDR"});
  cluster.master_address = variables.has("MASTER_ADDR")
                               ? variables.text("MASTER_ADDR")
                               : expand_host_list(nodes, variables.needed(nodes)).front();
  const char* job = variables.first_set(kJobId);
  if (variables.has("MASTER_PORT") || !variables.has(job)) {
    cluster.master_port = variables.number("MASTER_PORT", 1, 65535);
  } else {  // the numbers of all jobs and steps on a host may follow each other, so they are hashed
    variables.number(job, 0);
    cluster.master_port = port_from(cluster.run_id);
    cluster.may_choose_port = true;
  }
}

Cluster from_slurm(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::slurm);
  const char* tasks = variables.first_set({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  Cluster cluster = read_ranks(variables, {"SLURM_PROCID", tasks, nullptr, nullptr});
  const char* nodes =
      variables.first_set({"SLURM_STEP_NUM_NODES", "SLURM_JOB_NUM_NODES", "SLURM_NNODES"});
  cluster.num_nodes = variables.number(nodes, 1);
  cluster.node_rank = variables.below("SLURM_NODEID", nodes, cluster.num_nodes);
  cluster.local_world_size = ranks_on_node(variables, cluster);
  cluster.local_rank = variables.number("SLURM_LOCALID", 0);
  if (cluster.local_rank >= cluster.local_world_size) {
    variables.refuse("SLURM_LOCALID",
                     fmt::format("must be less than {}, the number of tasks of this node",
                                 cluster.local_world_size));
  }
  cluster.restart_count = variables.number_or("SLURM_RESTART_COUNT", 0, 0);
  cluster.run_id = fmt::format("{}.{}", variables.text(variables.first_set(kJobId)),
                               variables.text(variables.first_set(kStepId)));
  find_slurm_master(variables, cluster);
  return cluster;
}

}  // namespace

std::vector<std::string> expand_host_list(std::string_view variable, std::string_view list) {
  const Source source{variable, list};
  std::vector<std::string> hosts;
  while (!list.empty()) {
    const std::string_view name = take_until(list, ", ");
    if (name.empty()) continue;
    if (name.find_first_of("]") < name.find_first_of("[")) source.refuse("a ']' has no '['");
    auto more = expand_name(source, name);
    if (hosts.size() + more.size() > kMostHosts) source.refuse_length();
    hosts.insert(hosts.end(), more.begin(), more.end());
  }
  if (hosts.empty()) source.refuse("the list names no host");
  return hosts;
}

std::vector<int64_t> expand_counts(std::string_view variable, std::string_view list) {
  const Source source{variable, list};
  std::vector<int64_t> counts;
  while (!list.empty()) {
    const std::string_view item = take_until(list, ",");
    const size_t open = item.find("(x");
    int64_t times = 1;
    if (open != std::string_view::npos) {
      if (item.back() != ')') source.refuse(fmt::format("'{}' isn't of the form 2(x3)", item));
      times = source.number(item.substr(open + 2, item.size() - open - 3));
    }
    const int64_t count = source.number(item.substr(0, open));
    if (counts.size() + static_cast<size_t>(times) > kMostHosts) source.refuse_length();
    counts.insert(counts.end(), static_cast<size_t>(times), count);
  }
  if (counts.empty()) source.refuse("the list has no number");
  return counts;
}

std::optional<Cluster> find_slurm(const EnvironmentLookup& lookup) {
  if (!is_in_srun(lookup)) return std::nullopt;
  return from_slurm(lookup);
}

}  // namespace levin
