#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace levin {

/// What ranks send each other besides gradients (Reduction), and besides what the stages of a
/// pipeline pass on in training (PipelineBatch).
enum class ExchangeKind : uint8_t {
  layers,        ///< parameters that are gathered before operations use them (zero_stage_3)
  parameters,    ///< what the optimizers of all ranks have changed (zero_stage_1 and 2)
  tensor_parts,  ///< sums and joined parts of tensor-parallel layers
  batch_norms,   ///< sums of batch norms that are joined over ranks
  outputs,       ///< what the stages of a pipeline pass on in evaluations
  buffers,       ///< rank 0's buffers, after a step
  metrics,       ///< logged values, norms of gradients, and in a pipeline the rows of a step
  predictions,   ///< the rows that a prediction gathers
};
inline constexpr size_t kNumExchangeKinds = static_cast<size_t>(ExchangeKind::predictions) + 1;

/// Returns the kind's name in tables and timelines, such as "tensor parts".
constexpr std::string_view exchange_name(ExchangeKind kind) {
  constexpr std::array<std::string_view, kNumExchangeKinds> kNames = {
      "layers",  "parameters", "tensor parts", "batch norms",
      "outputs", "buffers",    "metrics",      "predictions"};
  return kNames[static_cast<size_t>(kind)];
}

/// One exchange, as one rank saw it. Moments are those of files::monotonic_seconds.
struct Exchange {
  ExchangeKind kind = ExchangeKind::layers;
  /// The moment at which this rank started its part, and the one at which it had the result.
  double begin = 0.0;
  double end = 0.0;
  /// The seconds before `end` in which the calling thread stood still.
  double waiting = 0.0;
  /// What this rank sent, without headers.
  int64_t bytes = 0;
};

/// All exchanges of one kind in a run.
struct ExchangeSum {
  int64_t calls = 0;
  int64_t bytes = 0;
  double waiting = 0.0;  ///< seconds

  void add(const Exchange& exchange) {
    ++calls;
    bytes += exchange.bytes;
    waiting += exchange.waiting;
  }
  double mib() const { return static_cast<double>(bytes) / (1 << 20); }
};

/// The exchanges of each kind, in the order of ExchangeKind.
using Exchanges = std::array<ExchangeSum, kNumExchangeKinds>;

}  // namespace levin
