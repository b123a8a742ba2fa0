#pragma once

#include <array>
#include <optional>

#include <c10/core/Event.h>

#include <levin/framework/strategies/gradient_reducer.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Copies riders to the device of the gradients, and their sums back. The host waits only if it
/// asks for sums to which the device hasn't come yet.
///
///     RiderCopies copies(device);
///     copies.fetch(reducer.run(loss, copies.send(riders), backward));
///     ...                                   // the next forward pass, for example
///     const auto& sums = copies.sums();     // those of `riders`
///
/// The memory is made once, pinned for a GPU. It holds one window: `sums` has to be called before
/// the next `send`.
class RiderCopies {
 public:
  using Riders = std::array<double, GradientReducer::kRiders>;
  // What the riders are: the rows of a window in two parts (because float32 counts only to 2^24,
  // over all ranks), remainder and multiple of kRowsUnit; the loss times its weight; the flags.
  static constexpr size_t kRows = 0;
  static constexpr size_t kLoss = 2;
  static constexpr size_t kFlags = 3;
  static constexpr double kRowsUnit = 1 << 12;

  explicit RiderCopies(at::Device device);

  /// Returns `riders` on the device, as GradientReducer::run takes them, in memory that the next
  /// call writes.
  const torch::Tensor& send(const Riders& riders);
  /// Starts to copy `sums`, which GradientReducer::run returned, to the host.
  void fetch(const torch::Tensor& sums);
  /// Returns the sums that were fetched last, and waits until they are there.
  const Riders& sums();

 private:
  at::Device device_;
  torch::Tensor given_;      // on the host
  torch::Tensor on_device_;  // on the CPU, `given_`
  torch::Tensor fetched_;    // on the host
  Riders sums_{};
  std::optional<c10::Event> is_fetched_;
};

}  // namespace levin
