#pragma once

#include <levin/framework/compression/gathered_compression.h>

namespace levin {

/// Settings of OneBitCompression.
struct OneBitOptions {
  /// Which values share their two means: "row", the values of one row of a weight [out, in ...], so
  /// of one output; or "tensor", all values of a gradient. Rows of fewer than 64 values, whose
  /// means would take more bytes than their bits, share with the whole gradient in either case.
  std::string means_of = "row";
  /// Whether what one bit leaves out of a gradient is added to the next one.
  bool error_feedback = true;
};
Fields describe(OneBitOptions& options);

/// Sends the sign of each value, and two means for each group of values: that of the values of 0 or
/// more, and that of the negative ones, which then take the place of the values. Seide et al. 2014,
/// doi:10.21437/Interspeech.2014-274, and CNTK's 1-bit SGD.
///
/// The means keep the sum of a group, but each value is changed in the same direction in each step:
/// the result is biased. Error feedback mends that, and is needed to come near to the optimum.
class OneBitCompression : public GatheredCompression {
 public:
  using Options = OneBitOptions;
  /// Throws ConfigError if `means_of` is neither "row" nor "tensor".
  explicit OneBitCompression(const GradientLayout& layout, OneBitOptions options = {});

 protected:
  torch::Tensor pack(const torch::Tensor& values) override;
  void add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const override;

 private:
  std::vector<int64_t> rows_;  // the number of groups of each gradient
  int64_t groups_ = 0;
};

}  // namespace levin
