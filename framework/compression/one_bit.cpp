#include <levin/framework/compression/one_bit.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/compression/packing.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr int64_t kShortRow = 64;  // values

}  // namespace

Fields describe(OneBitOptions& o) {
  return fields_of<OneBitOptions>(
      {{"means_of", &o.means_of, "what shares two means: row (of a weight) or tensor"},
       {"error_feedback", &o.error_feedback, "add what wasn't sent to the next gradients"}});
}

OneBitCompression::OneBitCompression(const GradientLayout& layout, OneBitOptions options)
    : GatheredCompression(layout, options.error_feedback) {
  if (options.means_of != "row" && options.means_of != "tensor") {
    throw ConfigError::unknown_name("means_of", options.means_of, {"row", "tensor"});
  }
  for (size_t i = 0; i < layout.shapes.size(); ++i) {
    const auto& shape = layout.shapes[i];
    const bool by_row = options.means_of == "row" && shape.size() >= 2 && shape[0] > 0 &&
                        layout.size(i) / shape[0] >= kShortRow;
    rows_.push_back(by_row ? shape[0] : 1);
    groups_ += rows_.back();
  }
}

torch::Tensor OneBitCompression::pack(const torch::Tensor& values) {
  const auto is_positive = values >= 0.0;
  auto means = at::empty({2, groups_}, values.options());
  int64_t group = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const int64_t size = layout().size(i);
    const auto part = values.narrow(0, begin, size).view({rows_[i], -1});
    const auto positive = is_positive.narrow(0, begin, size).view({rows_[i], -1}).sum(1);
    const auto negative = (part.size(1) - positive).clamp_min(1);
    means[0].narrow(0, group, rows_[i]).copy_(part.clamp_min(0.0).sum(1) / positive.clamp_min(1));
    means[1].narrow(0, group, rows_[i]).copy_(part.clamp_max(0.0).sum(1) / negative);
    group += rows_[i];
    begin += size;
  }
  return join_bytes({means, pack_bits(is_positive.to(at::kByte), 1)});
}

void OneBitCompression::add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const {
  BytesReader reader(bytes);
  const auto means = reader.next(layout().type, 2 * groups_).view({2, groups_});
  const auto bits = reader.next(at::kByte, (sums.numel() + 7) / 8);
  const auto is_positive = unpack_bits(bits, 1, sums.numel()).to(at::kBool);
  int64_t group = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const int64_t size = layout().size(i);
    const auto mean_of = [&](int64_t sign) {
      return means[sign].narrow(0, group, rows_[i]).unsqueeze(1);
    };
    auto part = sums.narrow(0, begin, size).view({rows_[i], -1});
    part.add_(
        at::where(is_positive.narrow(0, begin, size).view({rows_[i], -1}), mean_of(0), mean_of(1)));
    group += rows_[i];
    begin += size;
  }
}

}  // namespace levin
