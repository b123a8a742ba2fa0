#pragma once

#include <functional>
#include <string>
#include <vector>

#include <levin/framework/deadline/gradient_deadline.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/late_gradients.h>

namespace levin {

/// Data parallelism that doesn't wait for ranks that are late: a step is taken with the gradients
/// that are complete at a deadline, weighted by the rows of their ranks. LateGradients says how.
///
///     DeadlineStrategy strategy(*find_cluster(), at::kCPU, {}, {.options = {.seconds = 0.5}});
///     strategy.setup(model);
///     for (...) {
///       auto& late = *strategy.late_gradients();
///       late.begin_window(rows_of_all_ranks);
///       const auto loss = late.is_behind() ? torch::Tensor() : model.loss(batch);
///       strategy.backward(model, loss, weight, loss.defined() ? batch.rows() : 0);
///       optimizer.step();
///     }
///
/// While nobody is late, the steps are those of DataParallelStrategy, to rounding. Who is late
/// depends on time, so runs aren't reproducible otherwise.
///
/// Ranks get rank 0's buffers only when all of them meet (LateGradients::meet), because doing so
/// after each step would make them wait for each other.
class DeadlineStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. Throws ConfigError if `device` is a GPU.
  DeadlineStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options,
                   GradientDeadline deadline);
  ~DeadlineStrategy() override;

  LateGradients* late_gradients() override { return &late_; }
  void teardown(Module& module) override;
  /// Always throws ConfigError: a module that optimizes by hand decides itself when it steps.
  void sum_by_optimizer(const Module& module, const Optimizers& optimizers) override;
  int64_t sent_bytes() const override { return late_.sent_bytes(); }
  StateDict own_state() const override { return late_.state_dict(); }
  void load_own_states(const std::vector<StateDict>& ranks) override {
    late_.load_state_dict(ranks);
  }

 protected:
  /// Throws ConfigError for SyncBatchNorm layers and sparse gradients.
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;
  torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                              const std::function<void()>& backward) override;

 private:
  bool sends_buffers_;
  bool has_sums_ = false;
  LateGradients late_;
};

}  // namespace levin
