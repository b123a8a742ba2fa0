#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/options.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/state_dict.h>

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
  /// How gradients are sent: "none" for as they are, "fp16" or "bf16" for that type, or one of
  /// shipped_gradient_compressions, which pack all dense gradients.
  NamedSettings compression = "none";
};

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

  /// What this rank has to remember from step to step, such as the parts of gradients that it
  /// hasn't sent; empty unless a compression remembers something.
  StateDict state_dict() const;
  /// Goes on from `state`, which another reducer of this rank had. Throws CheckpointError if it
  /// doesn't fit.
  void load_state_dict(const StateDict& state);

 private:
  void begin(const torch::Tensor& loss, const torch::Tensor& riders);
  torch::Tensor finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
