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

struct GradientReducerOptions {
  /// Parameters that a loss doesn't depend on keep no gradient where that is so on all ranks; off:
  /// they are an error.
  bool find_unused_parameters = false;
  /// Gradients lie in the buckets that are sent: saves their memory once.
  bool gradient_as_bucket_view = false;
  /// Gradients are sent in pieces of about that many MiB, each as soon as it is complete.
  double bucket_cap_mb = 25.0;
  /// "none", or "fp16" or "bf16": gradients are sent in that type.
  std::string compression = "none";
};

/// The type `compression` has gradients sent in; nothing for "none". Throws ConfigError.
std::optional<at::ScalarType> sent_type(const std::string& compression);

/// Sums gradients over ranks while backward is still at work: c10d's Reducer, which knows by hooks
/// when each gradient is complete, with a few numbers of ours beside the gradients.
class GradientReducer {
 public:
  /// Numbers that travel in the first bucket.
  static constexpr size_t kRiders = 16;
  using Riders = std::array<double, kRiders>;

  /// `names` and `parameters` in the same order on all ranks, those that are learnt. `log` (null:
  /// none) is told of every collective; who calls `run` begins and finishes its steps.
  /// `sparse`: which parameters get sparse gradients (find_sparse_gradients), which stay sparse and
  /// travel as they are; empty: none.
  GradientReducer(ProcessGroup& group, std::vector<std::string> names,
                  std::vector<torch::Tensor> parameters, const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr, std::vector<bool> sparse = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Runs `backward`, which adds to the parameters' gradients, or does nothing where `loss` is
  /// undefined (a rank that skips, or has no rows). Afterwards gradients are sums over ranks, and
  /// so are the riders, which are returned. Throws ModuleError naming a parameter that got no
  /// gradient.
  template <class Backward>
  Riders run(const torch::Tensor& loss, const Riders& riders, const Backward& backward) {
    begin(loss, riders);
    if (loss.defined()) backward();
    return finish(loss.defined());
  }

  /// Bytes this rank gave to be summed so far.
  int64_t bytes() const;

 private:
  void begin(const torch::Tensor& loss, const Riders& riders);
  Riders finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
