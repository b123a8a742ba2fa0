#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_reducer.h>

namespace levin {

/// Sums gradients over ranks so that each rank gets only the sums for its own slices, while
/// backward is still running. ZeRO stage 2, https://arxiv.org/abs/1910.02054.
///
/// As soon as all gradients of a buffer are complete, each rank sends every other rank that rank's
/// chunk, and the receiver adds the chunks up in the order of the ranks. A whole gradient is freed
/// as soon as it is copied for sending, so the memory for gradients is about that of one rank's
/// slices plus the buffers on their way.
///
///     FlatParameters flat(parameters, group.rank(), group.world_size(), buffer_bytes);
///     GradientScatter scatter(group, names, flat, {});
///     const auto sums = scatter.run(loss, riders, [&] { loss.backward(); });   // on every rank
class GradientScatter {
 public:
  /// `names` are the names of the parameters, in their order. Of `options`, only
  /// `find_unused_parameters` and `compression` have an effect. `log`, if not null, records every
  /// collective; the caller of `run` begins and finishes its steps. `group` and `parameters` must
  /// live longer.
  GradientScatter(ProcessGroup& group, std::vector<std::string> names, FlatParameters& parameters,
                  const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr);
  ~GradientScatter();
  GradientScatter(const GradientScatter&) = delete;
  GradientScatter& operator=(const GradientScatter&) = delete;

  /// Does the same as GradientReducer::run, except that afterwards the slices have the summed
  /// gradients and the parameters have none. A collective. With find_unused_parameters, the host
  /// waits for the device to learn which ones were used. Throws ModuleError if a parameter got no
  /// gradient (unless find_unused_parameters is set), got one twice, or got a sparse one, and
  /// DistributedError if another rank is gone.
  template <class Backward>
  torch::Tensor run(const torch::Tensor& loss, const torch::Tensor& riders,
                    const Backward& backward) {
    return run(loss, riders, backward, [] {});
  }
  /// The same, and calls `after_backward` on every rank before it waits for another rank.
  template <class Backward, class After>
  torch::Tensor run(const torch::Tensor& loss, const torch::Tensor& riders,
                    const Backward& backward, const After& after_backward) {
    begin(riders);
    if (loss.defined()) backward();
    after_backward();
    return finish(loss.defined());
  }

  /// How many bytes this rank has sent to other ranks so far, riders included. Its own chunks don't
  /// count.
  int64_t bytes() const;

 private:
  void begin(const torch::Tensor& riders);
  torch::Tensor finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
