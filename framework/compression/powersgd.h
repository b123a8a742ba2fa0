#pragma once

#include <ATen/core/Generator.h>

#include <levin/framework/compression/gradient_memory.h>

namespace levin {

/// Settings of PowerSgdCompression. Meanings and defaults are those of PyTorch's PowerSGDState.
struct PowerSgdOptions {
  /// The rank r of the approximation of each gradient (matrix_approximation_rank).
  int64_t rank = 1;
  /// The number of steps at the beginning in which gradients are sent as they are.
  int64_t start_powersgd_iter = 1000;
  /// A gradient is only compressed if it has more than this many times as many values as what would
  /// be sent.
  double min_compression_rate = 2.0;
  /// Whether what the approximation leaves out is added to the next gradients
  /// (use_error_feedback).
  bool error_feedback = true;
  /// Whether the approximation begins with the one of the last step.
  bool warm_start = true;
};
Fields describe(PowerSgdOptions& options);

/// Approximates each gradient M, seen as a matrix [shape[0], rest], by P Q' of rank r, of which
/// only P [n, r] and Q [m, r] are summed over ranks: PowerSGD, Vogels et al. 2019,
/// https://arxiv.org/abs/1905.13727.
///
///     P = sum of M Q;  P = orthogonal basis of P;  Q = sum of M' P;  result P Q'
///
/// Gradients of one dimension, and those that would hardly become smaller, are sent as they are,
/// with P. A rank's memory is M minus its share, one part in world_size, of the result.
class PowerSgdCompression : public GradientCompression {
 public:
  using Options = PowerSgdOptions;
  /// Throws ConfigError for settings out of their ranges.
  explicit PowerSgdCompression(const GradientLayout& layout, PowerSgdOptions options = {});

  void start(const torch::Tensor& own, GradientExchange& exchange) override;
  void proceed(GradientExchange& exchange) override;
  torch::Tensor finish() override;
  /// Beside the memory, q.<parameter> is Q, [m, r], and the value powersgd_steps the number of
  /// steps taken.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 private:
  struct Matrix {
    size_t number = 0;  // of the gradient
    int64_t begin = 0;  // in the flat tensor
    int64_t rows = 0;
    int64_t columns = 0;
    int64_t rank = 0;
    torch::Tensor q;  // [columns, rank]; undefined before the first compressed step
  };

  torch::Tensor part_of(const torch::Tensor& flat, const Matrix& matrix) const;
  torch::Tensor take_plain(const torch::Tensor& flat) const;
  void put_plain(torch::Tensor& flat, const torch::Tensor& plain) const;
  void choose_q(Matrix& matrix);

  GradientLayout layout_;
  PowerSgdOptions options_;
  GradientMemory memory_;
  std::vector<Matrix> matrices_;
  std::vector<std::pair<int64_t, int64_t>> plain_;  // begin and size of what is sent as it is
  int64_t plain_size_ = 0;
  at::Generator generator_;
  int64_t steps_ = 0;
  bool compresses_ = false;  // in the step begun
  // Of the step begun: gradients and memory, the sums of what is sent as it is, and the bases.
  torch::Tensor values_;
  torch::Tensor sums_;
  std::vector<torch::Tensor> bases_;
  int64_t world_size_ = 1;
  GradientExchange::Pending pending_;
};

}  // namespace levin
