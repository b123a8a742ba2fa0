#pragma once

#include <ATen/core/Generator.h>

#include <levin/framework/compression/gathered_compression.h>

namespace levin {

/// Settings of QsgdCompression.
struct QsgdOptions {
  /// The number s of levels above 0 and of those below, from 1 to 127. A value takes 2 bits with 1
  /// level, 4 with up to 7 and 8 with up to 127.
  int64_t levels = 7;
  /// How many consecutive values share a norm, which takes as many bytes as one value.
  int64_t bucket_size = 512;
  /// The norm by which values are divided: "max", the largest magnitude, or "l2".
  std::string norm = "max";
};
Fields describe(QsgdOptions& options);

/// Rounds each value v of a bucket at random to one of the two multiples of |bucket| / s next to
/// it, so that its expectation is v: QSGD, Alistarh et al. 2017, https://arxiv.org/abs/1610.02132.
/// The result is unbiased, so it needs no error feedback. As in the paper's experiments, buckets
/// are divided by their largest magnitude unless `norm` is "l2", and levels are sent with a fixed
/// number of bits.
///
/// Random numbers depend on the seed of the run, the rank, the bucket and the number of the step.
class QsgdCompression : public GatheredCompression {
 public:
  using Options = QsgdOptions;
  /// Throws ConfigError for settings out of their ranges.
  explicit QsgdCompression(const GradientLayout& layout, QsgdOptions options = {});

  /// The value qsgd_steps is the number of steps taken.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 protected:
  torch::Tensor pack(const torch::Tensor& values) override;
  void add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const override;

 private:
  QsgdOptions options_;
  int64_t bits_;
  int64_t buckets_;
  at::Generator generator_;
  int64_t steps_ = 0;
};

}  // namespace levin
