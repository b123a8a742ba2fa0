#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <levin/framework/parameter_server/server_values.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/step_flags.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// What a worker tells a server beside its gradients and their number of rows.
struct ServerPush {
  /// The number of rows that the gradients are scaled for: see Strategy::scale_gradients.
  double full_rows = 1.0;
  /// The largest norm of the gradients of all workers together; 0: they aren't clipped.
  double max_norm = 0.0;
  /// See StepFlags. Only those that the first server gets count.
  std::array<double, StepFlags::kNumbers> flags{};
  /// The learning rate and the weight decay of each group of the optimizer.
  std::vector<double> rates{};
  /// 1 for each parameter that has a gradient, 0 for the others; empty: all of them have one.
  std::vector<double> used{};
};

/// What a server answers beside the weights.
struct ServerPull {
  /// The norm of the gradients before they were clipped.
  double norm = 0.0;
  /// In step, the sums of the flags of all workers. Otherwise the number of the step at whose end a
  /// flag is known to all workers; 0 if it isn't raised.
  std::array<double, StepFlags::kNumbers> flags{};
};

/// The numbers that travel between a worker and the servers: one message for each server, [width],
/// which has the server's chunk of each buffer of FlatParameters, then a ServerPush, then a
/// ServerPull.
///
///     ServerLayout layout(flat, servers, groups, /*tells_used=*/false);
///     auto messages = layout.make_messages();
///     layout.put_gradients(messages);
///     layout.put(messages[0], push);
///
/// Numbers travel in float32, or in float64 if a parameter has that type. ServerPush and ServerPull
/// are exact in both. A server leaves zeros where the ServerPush was, so that the compensation of
/// delays, which goes by what has changed between two pulls, leaves it alone.
class ServerLayout {
 public:
  /// `flat`, in whose order the chunks come, must live longer. `groups` is the number of groups of
  /// the optimizer; `tells_used` whether ServerPush::used is sent.
  ServerLayout(const FlatParameters& flat, int64_t servers, size_t groups, bool tells_used);

  int64_t servers() const { return servers_; }
  /// How many numbers a message has, and those of them that are gradients or weights.
  int64_t width() const { return width_; }
  int64_t values() const { return values_; }
  /// Where the chunk of a buffer begins in a message.
  int64_t begin_of(size_t buffer) const { return begins_[buffer]; }

  /// Messages to or from all servers, zeros, [servers, width].
  torch::Tensor make_messages() const;
  /// Numbers in memory that somebody else keeps, as a tensor, and the other way round. Throws
  /// ConfigError if they aren't of the layout's type.
  torch::Tensor tensor_of(ServerSpan numbers) const;
  ServerSpan numbers_of(const torch::Tensor& tensor) const;
  /// Writes the gradients of the parameters into the messages, or zeros for those that have none.
  void put_gradients(const torch::Tensor& messages) const;
  /// If parameters have sparse gradients: which numbers of all messages, one after another, a
  /// worker has to push, ascending; the others are zeros. Empty if all of them are fewer bytes.
  std::vector<int64_t> sparse_numbers() const;
  /// Writes the weights of the messages into the buffers.
  void take_weights(const torch::Tensor& messages) const;

  /// Writes and reads the numbers behind the values of one message.
  void put(const torch::Tensor& message, const ServerPush& push) const;
  void put(const torch::Tensor& message, const ServerPull& pull) const;
  ServerPush push_in(const torch::Tensor& message) const;
  ServerPull pull_in(const torch::Tensor& message) const;

 private:
  const FlatParameters& flat_;
  int64_t servers_;
  size_t rates_;
  size_t used_;
  at::ScalarType type_ = at::kFloat;
  std::vector<int64_t> begins_;  // of each buffer's chunk
  int64_t values_ = 0;
  int64_t begin_of_pull_ = 0;
  int64_t width_ = 0;
};

}  // namespace levin
