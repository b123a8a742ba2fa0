#pragma once

#include <levin/framework/compression/gathered_compression.h>

namespace levin {

/// Settings of TopKCompression.
struct TopKOptions {
  /// The share of each gradient's values that is sent: above 0, at most 1; at least one value.
  double ratio = 0.01;
  /// Whether the values that aren't sent are added to the next gradients.
  bool error_feedback = true;
};
Fields describe(TopKOptions& options);

/// Sends the largest values of each gradient, by magnitude, with their places, and keeps the others
/// for the next step: top-k sparsification with memory, Aji and Heafield 2017,
/// https://arxiv.org/abs/1704.05021. A float32 that is sent takes 8 bytes.
class TopKCompression : public GatheredCompression {
 public:
  using Options = TopKOptions;
  /// Throws ConfigError if `ratio` is out of its range.
  explicit TopKCompression(const GradientLayout& layout, TopKOptions options = {});

 protected:
  torch::Tensor pack(const torch::Tensor& values) override;
  void add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const override;

 private:
  std::vector<int64_t> counts_;  // for each gradient, how many of its values are sent
  int64_t sent_ = 0;             // the sum of these
};

}  // namespace levin
