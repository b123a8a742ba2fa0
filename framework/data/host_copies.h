#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include <c10/core/Event.h>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Collects tensors in the host's ordinary memory, each with the values that it had when it was
/// added. Those of a GPU are copied behind the work that computes them, and the host goes on.
///
///     HostCopies outputs;
///     while (reader.next(batch)) outputs.add(model(batch));
///     at::cat(outputs.take());                      // waits for the last copies
///
/// The copies go through pinned memory. At most kInFlight of them are under way at a time, so that
/// this memory doesn't grow with their number: `add` waits for the one before them, while the GPU
/// is busy with the others. One thread makes all calls.
class HostCopies {
 public:
  static constexpr size_t kInFlight = 3;

  HostCopies() = default;
  HostCopies(HostCopies&&) = default;
  HostCopies& operator=(HostCopies&&) = default;

  /// Adds the values that `tensor` has now. Pass it by std::move: a tensor on the CPU is kept
  /// without a copy if nobody else uses its memory and could write it later.
  void add(torch::Tensor tensor);
  /// Returns the tensors on the CPU, in the order they were added, and forgets them. Waits for the
  /// copies under way.
  std::vector<torch::Tensor> take();

 private:
  struct Copy {
    size_t place;  // in tensors_, of a tensor in pinned memory
    c10::Event is_done;
  };
  void finish_first();

  std::vector<torch::Tensor> tensors_;
  std::deque<Copy> under_way_;
};

}  // namespace levin
