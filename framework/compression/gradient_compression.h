#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <levin/framework/core/class_list.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The collectives through which a compression exchanges what it has packed. A call starts a
/// collective and returns a function that waits for it and returns its result. Every rank makes the
/// same calls in the same order. Throws DistributedError or an error of c10d if a rank is gone.
class GradientExchange {
 public:
  using Pending = std::function<torch::Tensor()>;

  virtual ~GradientExchange() = default;
  virtual int64_t world_size() const = 0;
  /// The result is [world_size, ...]: the tensors of all ranks, which have the same shape and type.
  virtual Pending all_gather(const torch::Tensor& own) = 0;
  /// The result is the sum over ranks, the same bits on every rank; `own` may be overwritten.
  virtual Pending all_reduce(torch::Tensor own) = 0;
};

/// The gradients that are sent together, one after the other in a flat tensor [n].
struct GradientLayout {
  /// The parameters' names, which their state has in checkpoints.
  std::vector<std::string> names{};
  std::vector<std::vector<int64_t>> shapes{};
  /// The type in which the compression computes: float32 or float64.
  at::ScalarType type = at::kFloat;
  at::Device device = at::kCPU;
  /// A seed that is the same on all ranks.
  uint64_t seed = 0;
  int64_t rank = 0;

  /// The number of values of the gradient with that number.
  int64_t size(size_t gradient) const;
  /// The number of values of all gradients.
  int64_t size() const;
  /// Calls `visit(number, values)` for each gradient with its part of `flat`, [n], in its shape.
  void for_each(const torch::Tensor& flat,
                const std::function<void(size_t, const torch::Tensor&)>& visit) const;
};

/// A way to sum gradients over ranks by sending fewer bytes than they have. An object compresses
/// one bucket of gradients, step by step, and keeps what has to be remembered from one step to the
/// next. All ranks get the same bits.
///
///     compression.start(own, exchange);                 // on every rank
///     compression.proceed(exchange);
///     const auto sums = compression.finish();           // [n], about the sum of all ranks' `own`
///
/// A rank's loss is weighted by its rows before its gradients are computed, so a plain sum weights
/// the ranks by their rows.
class GradientCompression {
 public:
  virtual ~GradientCompression() = default;

  /// Packs this rank's gradients, [n], and starts to send them. Doesn't change `own`.
  virtual void start(const torch::Tensor& own, GradientExchange& exchange) = 0;
  /// Awaits what was started and starts what follows from it, if anything does. To be called once
  /// for each `start`, when all buckets have started.
  virtual void proceed(GradientExchange& /*exchange*/) {}
  /// Awaits the rest and returns the sums over ranks, [n]. To be called when all buckets have
  /// proceeded.
  virtual torch::Tensor finish() = 0;

  /// What is remembered from step to step; see GradientMemory for the names of tensors. Empty if it
  /// is nothing.
  virtual StateDict state_dict() const { return {}; }
  /// Goes on from `state`, which may also hold states of other buckets. What is missing in it
  /// begins anew. Throws CheckpointError for a tensor that doesn't fit.
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

/// The ways by name, with their settings.
using GradientCompressionList = ClassList<GradientCompression, const GradientLayout&>;

/// The ways that Levin ships: one_bit, qsgd, topk and powersgd. This list is the only place that
/// names them.
const GradientCompressionList& shipped_gradient_compressions();

/// The type in which gradients are sent: of two bytes for "fp16" and "bf16"; nothing for other
/// names.
std::optional<at::ScalarType> sent_type(const NamedSettings& compression);

/// Whether `compression` is one of shipped_gradient_compressions; false for "none", "fp16" and
/// "bf16". Throws ConfigError for an unknown name, and for settings that the way doesn't have or
/// refuses.
bool packs_gradients(const NamedSettings& compression);

/// Returns what rank `rank` of `world_size` goes on from, if the ranks that wrote a checkpoint had
/// the states `ranks`. With another number of ranks, rank 0 takes over what all of them haven't
/// sent, so that none of it is lost.
StateDict compression_state_for(const std::vector<StateDict>& ranks, int64_t rank,
                                int64_t world_size);

}  // namespace levin
