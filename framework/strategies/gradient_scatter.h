#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_reducer.h>

namespace levin {

/// Sums gradients over ranks so that each rank gets those of its own slices only (ZeRO stage 2),
/// while backward is still at work: as soon as all gradients of a buffer are complete, each rank
/// sends every other one its chunk, and they are added up where they arrive, in the order of the
/// ranks. Whole gradients are freed as soon as they are copied for sending.
class GradientScatter {
 public:
  using Riders = GradientReducer::Riders;

  /// `names` of the parameters. Of `options`, `find_unused_parameters` and `compression` apply.
  /// `log` as for GradientReducer.
  GradientScatter(ProcessGroup& group, std::vector<std::string> names, FlatParameters& parameters,
                  const GradientReducerOptions& options,
                  std::shared_ptr<CommunicationLog> log = nullptr);
  ~GradientScatter();
  GradientScatter(const GradientScatter&) = delete;
  GradientScatter& operator=(const GradientScatter&) = delete;

  /// As GradientReducer::run; the sums are the gradients of the slices, the parameters have none.
  template <class Backward>
  Riders run(const torch::Tensor& loss, const Riders& riders, const Backward& backward) {
    begin(riders);
    if (loss.defined()) backward();
    return finish(loss.defined());
  }

  /// Bytes this rank sent so far.
  int64_t bytes() const;

 private:
  void begin(const Riders& riders);
  Riders finish(bool has_loss);

  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
