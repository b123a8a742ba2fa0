#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/ops/linalg_vector_norm.h>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Collectives of `group` of which a profiler is told, if there is one: what they are for, the
/// bytes that this rank sends, and how long it waits. They do what those of ProcessGroup do, and
/// throw the same errors.
///
///     recorded_broadcast(group, module.buffers(), ExchangeKind::buffers);

/// ProcessGroup::all_reduce.
inline void recorded_all_reduce(ProcessGroup& group, const torch::Tensor& tensor, ExchangeKind kind,
                                ProcessGroup::Op op = ProcessGroup::Op::sum) {
  const auto bytes =
      CommunicationLog::ring_bytes(static_cast<int64_t>(tensor.nbytes()), group.world_size());
  group.exchanges().record(kind, bytes, [&] { group.all_reduce(tensor, op); });
}

/// ProcessGroup::all_gather.
inline torch::Tensor recorded_all_gather(ProcessGroup& group, const torch::Tensor& tensor,
                                         ExchangeKind kind) {
  const auto bytes =
      ExchangeLog::gathered_bytes(static_cast<int64_t>(tensor.nbytes()), group.world_size());
  return group.exchanges().record(kind, bytes, [&] { return group.all_gather(tensor); });
}

/// ProcessGroup::broadcast.
inline void recorded_broadcast(ProcessGroup& group, const std::vector<torch::Tensor>& tensors,
                               ExchangeKind kind) {
  size_t bytes = 0;
  for (const auto& tensor : tensors) bytes += tensor.nbytes();
  const auto sent =
      ExchangeLog::broadcast_bytes(static_cast<int64_t>(bytes), group.rank(), group.world_size());
  group.exchanges().record(kind, sent, [&] { group.broadcast(tensors); });
}

/// Returns the norm of a vector of which each rank of `group` has a part; that of this rank has the
/// norm `own`, a tensor of one element. The ranks exchange the norms in tensors on `device`. The
/// result has the type of `own`, and is on the same device as `own`.
inline torch::Tensor norm_over_ranks(ProcessGroup& group, const torch::Tensor& own,
                                     at::Device device) {
  const auto norm = own.reshape({}).to(device, at::kDouble);
  const auto all = recorded_all_gather(group, norm, ExchangeKind::metrics);
  return at::linalg_vector_norm(all).to(own.device(), own.scalar_type());
}

}  // namespace levin
