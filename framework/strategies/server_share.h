#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/parameter_server/server_gradient.h>
#include <levin/framework/parameter_server/server_values.h>
#include <levin/framework/strategies/server_layout.h>

namespace levin {

/// A server's part of the parameters of a run, and the optimizer that steps it by the gradients
/// that workers push. ParameterServer calls `apply` on a thread of its own.
///
///     ServerShare share(flat, layout, number, optimizer, workers, /*in_step=*/true);
///     ParameterServer server(options, zeros, [&](auto values, auto gradients) {
///       share.apply(values, gradients);
///     });
///     share.load();
///     server.with_values([&](auto values) { share.publish(values); });
///
/// In step, the sum of the gradients of all workers, in their order, makes one step. It is scaled
/// to the number of rows that they have together, so that the step is that of one process.
/// Otherwise each gradient makes a step when it comes.
class ServerShare {
 public:
  /// The share of the server of that number. `optimizer` steps the slices of `flat`, and has them
  /// already. In step, these are the module's own memory; otherwise the chunks are separate
  /// (FlatParameters::separate_own_chunks). `flat` and `layout` must live longer.
  ServerShare(const FlatParameters& flat, const ServerLayout& layout, int64_t number,
              std::shared_ptr<Optimizer> optimizer, int64_t workers, bool in_step);

  /// Takes over the weights that the buffers have now, unless the slices are these.
  void load();
  /// Writes the weights and a ServerPull into a server's values, [layout.width()].
  void publish(ServerSpan values) const;
  /// Steps by gradients, and publishes the result. Doesn't throw: `check` does.
  void apply(ServerSpan values, std::span<const ServerGradient> gradients) noexcept;
  /// Throws ModuleError if a step has failed.
  void check() const;

 private:
  void step(std::span<const ServerGradient> gradients);
  torch::Tensor message_of(const ServerGradient& gradient) const;
  ServerPush take_push(std::span<const ServerGradient> gradients,
                       std::span<const torch::Tensor> messages);
  void give_gradients(const torch::Tensor& sum, const ServerPush& push);
  void note_flags(const ServerPush& push);
  void write(ServerSpan values) const;
  torch::Tensor chunk_of_buffer(const FlatParameters::Buffer& buffer) const;

  const FlatParameters& flat_;
  const ServerLayout& layout_;
  int64_t number_;
  std::shared_ptr<Optimizer> optimizer_;
  bool in_step_;
  mutable std::mutex mutex_;
  std::vector<int64_t> clocks_;  // how many gradients each worker has pushed
  std::array<std::optional<int64_t>, StepFlags::kNumbers> told_at_{};  // not in step
  ServerPull answer_;
  std::string error_;
};

}  // namespace levin
