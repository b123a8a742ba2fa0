#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_reducer.h>

namespace levin {

/// Sums gradients over ranks so that each rank gets only those of its own slices (ZeRO stage 2,
/// https://arxiv.org/abs/1910.02054), while backward is still running. As soon as all gradients of
/// a buffer are complete, each rank sends every other rank that one's chunk; the receiver adds the
/// chunks up in the order of the ranks. Whole gradients are freed once they are copied for sending.
class GradientScatter {
 public:
  using Riders = GradientReducer::Riders;

  /// `names` are those of the parameters, in their order. Of `options`, `find_unused_parameters`
  /// and `compression` count. `log`, if not null, is told of every collective; the caller of `run`
  /// begins and finishes its steps.
  GradientScatter(ProcessGroup& group, std::vector<std::string> names, FlatParameters& parameters,
                  const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr);
  ~GradientScatter();
  GradientScatter(const GradientScatter&) = delete;
  GradientScatter& operator=(const GradientScatter&) = delete;

  /// The same as GradientReducer::run, except that afterwards the slices have the summed gradients
  /// and the parameters have none. A collective.
  template <class Backward>
  Riders run(const torch::Tensor& loss, const Riders& riders, const Backward& backward) {
    begin(riders);
    if (loss.defined()) backward();
    return finish(loss.defined());
  }

  /// How many bytes this rank has sent so far.
  int64_t bytes() const;

 private:
  void begin(const Riders& riders);
  Riders finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
