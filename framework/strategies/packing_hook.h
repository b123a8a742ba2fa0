#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/strategies/sum_hook.h>

namespace levin {

/// The compressions of a reducer's buckets, one for each, which live as long as the reducer.
class PackedBuckets {
 public:
  /// `names` are the names of the `parameters`, in the same order.
  PackedBuckets(NamedSettings compression, int64_t rank, std::vector<std::string> names,
                std::vector<torch::Tensor> parameters);

  /// From now on, buckets are packed. To be called on all ranks when the Reducer has made the
  /// buckets that stay.
  void begin() { packs_ = true; }
  bool packs() const { return packs_; }
  /// Returns the compression of the bucket with that index, which holds the gradients of
  /// `parameters`, [n] together.
  GradientCompression& at(size_t index, const std::vector<torch::Tensor>& parameters);

  /// The states of all buckets together; tensors have the names of the parameters, so they fit any
  /// division into buckets.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);

 private:
  NamedSettings compression_;
  int64_t rank_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_;
  bool packs_ = false;
  std::map<size_t, std::unique_ptr<GradientCompression>> buckets_;
  StateDict loaded_;  // for buckets that come to be later
};

/// Makes the hook that sums dense buckets by their compressions once `buckets.packs()`, the bucket
/// of the riders as it is, and all else as make_sum_hook does. It starts to send a bucket when its
/// gradients are complete, and unpacks all of them at the end of backward, in the same order on all
/// ranks. Adds the bytes of the tensors that this rank gives to collectives, as
/// CommunicationLog counts them, to `bytes`.
std::unique_ptr<c10d::CommHookInterface> make_packing_hook(ProcessGroup& group,
                                                           SumHookOptions options,
                                                           std::shared_ptr<PackedBuckets> buckets,
                                                           std::atomic<int64_t>& bytes);

}  // namespace levin
