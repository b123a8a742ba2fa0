#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/tensor/tensor.h>

namespace c10d {
class ProcessGroup;
}

namespace levin {

class ExchangeLog;
class HostSum;

/// Options of ProcessGroup.
struct ProcessGroupOptions {
  /// "gloo", "nccl" or "auto". "auto" means NCCL if the device is a GPU and this build has NCCL,
  /// and otherwise Gloo; CPU ranks that are all on one host then sum gradients in shared memory
  /// (`host_sum`). NCCL needs a GPU for each rank; tensors on the CPU go through Gloo in any case.
  std::string backend = "auto";
  /// Seconds for which a rank waits for the others, in a collective and while they meet.
  double timeout = 1800.0;
};

/// The ranks of a run, joined so that they can exchange tensors: c10d's process groups.
///
/// Every call except `rank`, `world_size`, `global_rank`, `is_member`, `set`, `get`, `take` and
/// `abort` is a collective: all ranks make the same calls in the same order. A call throws
/// DistributedError if another rank is gone or too late.
///
///     ProcessGroup group(*find_cluster(), at::kCPU);
///     group.all_reduce(gradient);                       // now the sum over ranks, on every rank
class ProcessGroup {
 public:
  enum class Op { sum, min, max };

  /// Meets the other ranks at the cluster's address, and returns when all are there. If that takes
  /// more than a few seconds, a line on stderr says which ranks are missing and how to train alone.
  /// `device` is the one that this rank trains on. Throws ConfigError for a backend that can't be
  /// used.
  ///
  /// Ranks of one host meet where only that host can connect. Ranks of several hosts meet at a port
  /// that is open to the network; the run's secret (run_secret.h) then protects what they agree on
  /// there. It doesn't protect the connections of Gloo and NCCL, through which gradients go: these
  /// are neither encrypted nor checked, so the hosts have to be in a network that is trusted.
  ProcessGroup(const Cluster& cluster, at::Device device, ProcessGroupOptions options = {});
  /// Joins the ranks of `other` once more, under `name`, for collectives whose order among those of
  /// `other` may differ from rank to rank. A collective of `other`, whose `abort` also ends waits
  /// here.
  ProcessGroup(const ProcessGroup& other, const std::string& name);
  /// Joins a part of the ranks of `other`: rank `ranks[i]` of `other` becomes rank i of the part.
  /// All ranks of `other` call this, in the same order among such calls, and `abort` of `other`
  /// also ends waits here. Ranks may name different parts if these have no rank in common, so that
  /// one call makes a group of each tensor group of a DeviceMesh:
  ///
  ///     ProcessGroup tensor(all, mesh.group_of(MeshAxis::tensor, all.rank()), "tensor");
  ///
  /// A rank that isn't in the part it names waits for nobody, and gets a group that it may only
  /// destroy, abort, or ask for `is_member`, `rank` (-1) and `world_size`. Throws ConfigError if
  /// `ranks` is empty, names a rank twice or one that `other` doesn't have.
  ProcessGroup(const ProcessGroup& other, const std::vector<int64_t>& ranks,
               const std::string& name);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  /// This rank's number in this group, and the number of ranks that it joins.
  int64_t rank() const;
  int64_t world_size() const;
  /// This rank's number among all ranks of the run, by which messages name it.
  int64_t global_rank() const;
  /// Whether this rank is one of those that the group joins; false only for a part of the ranks.
  bool is_member() const { return rank() >= 0; }

  /// Tells a profiler of exchanges, those of groups made from this one included: who calls a
  /// collective knows what it is for, and records it here. Switched off at first. Lives as long as
  /// the last of these groups.
  ExchangeLog& exchanges();

  /// Combines `tensor` over all ranks, in place.
  void all_reduce(torch::Tensor tensor, Op op = Op::sum);
  /// Returns the tensors of all ranks, [world_size, ...]; they have the same shape and type.
  torch::Tensor all_gather(const torch::Tensor& tensor);
  /// Completes tensors of which each rank has one part. Each tensor, [world_size * n], consists of
  /// one chunk for each rank, and rank r has filled in the r-th. Fills in the chunks of the other
  /// ranks, in place.
  void all_gather_chunks(const std::vector<torch::Tensor>& tensors);
  /// Returns the texts of all ranks in the order of the ranks; they may hold any bytes and differ
  /// in length.
  std::vector<std::string> all_gather_text(const std::string& text);
  /// Copies rank 0's tensors into those of the other ranks, many tensors in one message.
  void broadcast(std::vector<torch::Tensor> tensors);
  /// Returns when every rank has called it.
  void barrier();
  /// Makes memory of `bytes` zeros that all ranks share and that no other process can open. Returns
  /// null, on all ranks, if there is no such memory: the ranks aren't on one host, or not in one
  /// container, or `bytes` is more than the share `most` of the host's memory.
  std::shared_ptr<std::byte> shared_memory(size_t bytes, double most);
  /// Makes a HostSum for rounds of at most `bytes`, in memory that the ranks share. Returns null,
  /// on all ranks, if the backend isn't "auto", if the ranks are GPUs or on several hosts, if there
  /// is only one rank, or if there is no such memory. Must not outlive this group.
  std::shared_ptr<HostSum> host_sum(size_t bytes);

  /// Returns a number for messages from one rank to another by `c10d_group`, which no earlier call
  /// returned. All ranks call this equally often, and get the same numbers.
  int new_tag();

  /// Puts `value` into the store of the group under `key`, for the other ranks. Waits for nobody.
  void set(const std::string& key, const std::string& value);
  /// Returns the value that some rank has put into the store under `key`; waits until it is there.
  /// Throws DistributedError after `timeout` seconds or `abort`, half a minute after a signal has
  /// asked this process to stop, and if another program has written the value. After a minute,
  /// `notice` is printed to stderr if it isn't empty; a run that has a heartbeat needs none,
  /// because that says which rank keeps the others waiting.
  std::string get(const std::string& key, const std::string& notice = {});
  /// Like `get`, for a value that `readers` ranks take, each once. The last of them deletes it.
  std::string take(const std::string& key, int64_t readers, const std::string& notice = {});

  /// Ends every wait for other ranks, in this group and in those that were made from it. The
  /// waiting calls throw, and so does every later collective. With Gloo this also ends the waits of
  /// other ranks in groups that this rank is in; a wait in a part of the ranks without this one
  /// goes on until a rank of that part calls `abort`. May be called from any thread.
  void abort() noexcept;

  /// c10d's group, for c10d's Reducer and for collectives that aren't offered here.
  const c10::intrusive_ptr<c10d::ProcessGroup>& c10d_group() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
