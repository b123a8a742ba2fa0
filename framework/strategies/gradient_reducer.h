#pragma once

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
/// DistributedDataParallel, except for `compression`, which replaces its communication hooks.
struct GradientReducerOptions {
  /// Whether a loss may leave out parameters. A parameter that no rank's loss depends on then keeps
  /// no gradient; finding out costs a walk through the graph in every step. If off, a parameter
  /// that gets no gradient is an error.
  bool find_unused_parameters = false;
  /// Whether gradients are views into the buckets that are sent, which saves their memory once.
  bool gradient_as_bucket_view = false;
  /// Gradients are sent in buckets of about this many MiB, each as soon as it is complete.
  double bucket_cap_mb = 25.0;
  /// The type in which gradients are sent: "fp16" or "bf16", or "none" for their own type.
  std::string compression = "none";
};

/// The type that `compression` stands for; nothing for "none". Throws ConfigError for an unknown
/// name.
std::optional<at::ScalarType> sent_type(const std::string& compression);

/// Sums gradients over ranks while backward is still running. It uses c10d's Reducer, which learns
/// through hooks when each gradient is complete, and sends a few numbers of the caller ("riders")
/// beside the gradients.
///
///     GradientReducer reducer(group, names, parameters, {});
///     const auto sums = reducer.run(loss, riders, [&] { loss.backward(); });   // on every rank
///
/// Riders and their sums are tensors on the device of the gradients, [kRiders] float64, so that the
/// host waits for neither (RiderCopies).
///
/// Sums are added up in an order that is the same in every run, so a resumed run gets the same
/// bits. All calls come from one thread; the hooks may run on autograd's threads.
class GradientReducer {
 public:
  /// The number of riders, which travel in the first bucket.
  static constexpr size_t kRiders = 16;

  /// `parameters` are those that are trained, of which there must be at least one; they and their
  /// `names` come in the same order on all ranks. `log`, if not null, records every collective; the
  /// caller of `run` begins and finishes its steps. `sparse` says which parameters get sparse
  /// gradients (find_sparse_gradients), which are then sent sparse; empty if none does. `group`
  /// must live longer. A collective.
  GradientReducer(ProcessGroup& group, std::vector<std::string> names,
                  std::vector<torch::Tensor> parameters, const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr, std::vector<bool> sparse = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Calls `backward`, which has to add to the gradients of the parameters, if `loss` is defined.
  /// It is undefined on a rank that skips the step or has no rows. Afterwards the gradients are
  /// sums over ranks. Returns the sums of the riders, in memory that the next call may write. A
  /// collective. Throws ModuleError, which names the parameter, if `backward` left a parameter
  /// without a gradient.
  template <class Backward>
  torch::Tensor run(const torch::Tensor& loss, const torch::Tensor& riders,
                    const Backward& backward) {
    begin(loss, riders);
    if (loss.defined()) backward();
    return finish(loss.defined());
  }

  /// How many bytes this rank has sent so far, as CommunicationLog counts them; those of the riders
  /// are among them.
  int64_t bytes() const;

 private:
  void begin(const torch::Tensor& loss, const torch::Tensor& riders);
  torch::Tensor finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
