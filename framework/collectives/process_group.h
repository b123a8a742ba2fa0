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

class HostSum;

struct ProcessGroupOptions {
  /// "gloo" or "nccl"; "auto": NCCL where the device is a GPU and this build has it, else Gloo, and
  /// through shared memory (`host_sum`) where the ranks are on one host. NCCL wants a GPU for each
  /// rank; what lies on the CPU goes by Gloo all the same.
  std::string backend = "auto";
  /// Seconds a rank waits for the others, in a collective and while they meet.
  double timeout = 1800.0;
};

/// This host's address as the ranks of others reach it: the one it reaches rank 0's from. Throws
/// DistributedError where rank 0's host can't be found.
std::string own_address(const Cluster& cluster);

/// The ranks of a run, joined. Every call but `rank`, `world_size`, `set`, `get` and `abort` is a
/// collective: all ranks make the same ones in the same order. Throws DistributedError where
/// another rank is gone or too late.
class ProcessGroup {
 public:
  enum class Op { sum, min, max };

  /// Meets the other ranks at the cluster's address; returns when all are there.
  ProcessGroup(const Cluster& cluster, at::Device device, ProcessGroupOptions options = {});
  /// The same ranks joined once more, as `name`, for collectives that come in any order between
  /// those of `other`. A collective.
  ProcessGroup(const ProcessGroup& other, const std::string& name);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const;
  int64_t world_size() const;

  /// Combines `tensor` over all ranks, in place.
  void all_reduce(torch::Tensor tensor, Op op = Op::sum);
  /// The tensors of all ranks, [world_size, ...].
  torch::Tensor all_gather(const torch::Tensor& tensor);
  /// Each tensor, [world_size * n], is cut into chunks: rank r's own is the r-th. Afterwards every
  /// rank has those of all.
  void all_gather_chunks(const std::vector<torch::Tensor>& tensors);
  /// The texts of all ranks, in their order; any bytes, of any length.
  std::vector<std::string> all_gather_text(const std::string& text);
  /// Copies rank 0's tensors to the others, in few messages.
  void broadcast(std::vector<torch::Tensor> tensors);
  void barrier();
  /// Sums of at most `bytes` a round through memory that the ranks share; null on all of them where
  /// the backend isn't "auto", they are on GPUs or several hosts, or the memory can't be had. Must
  /// not outlive this group.
  std::shared_ptr<HostSum> host_sum(size_t bytes);

  /// Leaves a value for the other ranks, and waits for one.
  void set(const std::string& key, const std::string& value);
  std::string get(const std::string& key);

  /// Ends whatever waits for other ranks, here and (Gloo) there, in this group and those made of
  /// it: it throws, and so does every later collective. For any thread.
  void abort() noexcept;

  /// c10d's own group, for its Reducer.
  const c10::intrusive_ptr<c10d::ProcessGroup>& c10d_group() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
