#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/profiling/communication_log.h>

namespace levin {

/// How gradients are summed. Names, meanings and defaults are those of PyTorch's
/// DistributedDataParallel, except for `compression`.
struct GradientReducerOptions {
  /// Whether a loss may leave out parameters. A parameter that no rank's loss depends on then keeps
  /// no gradient; finding out costs a walk through the graph in every step. If off, a parameter
  /// without a gradient is an error.
  bool find_unused_parameters = false;
  /// Whether gradients are views into the buckets that are sent, which saves their memory once.
  bool gradient_as_bucket_view = false;
  /// Gradients are sent in buckets of about this many MiB, each as soon as it is complete.
  double bucket_cap_mb = 25.0;
  /// The type in which gradients are sent: "fp16" or "bf16", or their own with "none".
  std::string compression = "none";
};

/// The type in which `compression` has gradients sent; nothing for "none". Throws ConfigError for
/// an unknown name.
std::optional<at::ScalarType> sent_type(const std::string& compression);

/// Sums gradients over ranks while backward is still running. It is c10d's Reducer, which knows by
/// hooks when each gradient is complete, and sends a few numbers of ours beside the gradients.
///
///     GradientReducer reducer(group, names, parameters, {});
///     const auto sums = reducer.run(loss, riders, [&] { loss.backward(); });   // on every rank
class GradientReducer {
 public:
  /// How many numbers ("riders") travel in the first bucket.
  static constexpr size_t kRiders = 16;
  using Riders = std::array<double, kRiders>;

  /// `parameters` are those that are learnt; they and their `names` come in the same order on all
  /// ranks. `log`, if not null, is told of every collective; the caller of `run` begins and
  /// finishes its steps. `sparse` says which parameters get sparse gradients
  /// (find_sparse_gradients), which then stay sparse on their way; empty if none does.
  GradientReducer(ProcessGroup& group, std::vector<std::string> names,
                  std::vector<torch::Tensor> parameters, const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr, std::vector<bool> sparse = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Runs `backward`, which has to add to the parameters' gradients, unless `loss` is undefined (on
  /// a rank that skips the step, or has no rows). Afterwards the gradients are sums over ranks.
  /// Returns the riders, summed as well. A collective. Throws ModuleError, which names it, if a
  /// parameter got no gradient.
  template <class Backward>
  Riders run(const torch::Tensor& loss, const Riders& riders, const Backward& backward) {
    begin(loss, riders);
    if (loss.defined()) backward();
    return finish(loss.defined());
  }

  /// How many bytes this rank has given to be summed so far.
  int64_t bytes() const;

 private:
  void begin(const torch::Tensor& loss, const Riders& riders);
  Riders finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
