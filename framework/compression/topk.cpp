#include <levin/framework/compression/topk.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/compression/packing.h>
#include <levin/framework/core/error.h>

namespace levin {

Fields describe(TopKOptions& o) {
  return fields_of<TopKOptions>(
      {{"ratio", &o.ratio, "share of each gradient's values that is sent, above 0, at most 1"},
       {"error_feedback", &o.error_feedback, "add what wasn't sent to the next gradients"}});
}

TopKCompression::TopKCompression(const GradientLayout& layout, TopKOptions options)
    : GatheredCompression(layout, options.error_feedback) {
  if (!(options.ratio > 0.0 && options.ratio <= 1.0)) {
    throw ConfigError::invalid_value("ratio", fmt::format("{}", options.ratio),
                                     "must be above 0 and at most 1");
  }
  for (size_t i = 0; i < layout.shapes.size(); ++i) {
    const int64_t size = layout.size(i);
    const auto share = std::ceil(options.ratio * static_cast<double>(size));
    counts_.push_back(std::min(size, static_cast<int64_t>(share)));
    sent_ += counts_.back();
  }
}

torch::Tensor TopKCompression::pack(const torch::Tensor& values) {
  std::vector<torch::Tensor> places;
  int64_t begin = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const int64_t size = layout().size(i);
    const auto largest = std::get<1>(
        at::topk(values.narrow(0, begin, size).abs(), counts_[i], -1, true, /*sorted=*/false));
    places.push_back(largest + begin);
    begin += size;
  }
  const auto all = at::cat(places);
  return join_bytes({values.index_select(0, all), all.to(at::kInt)});
}

void TopKCompression::add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const {
  BytesReader reader(bytes);
  const auto values = reader.next(layout().type, sent_);
  const auto places = reader.next(at::kInt, sent_);
  sums.index_add_(0, places, values);  // each place comes once, so no order matters
}

}  // namespace levin
