#include <levin/framework/solvers/column_parts.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin {

torch::Tensor ColumnParts::Layout::weight_of(const torch::Tensor& vector) const {
  return vector.narrow(0, weight_at, outputs * features).view({outputs, features});
}

torch::Tensor ColumnParts::Layout::bias_of(const torch::Tensor& vector) const {
  return vector.narrow(0, bias_at, outputs);
}

void ColumnParts::require_enough(int64_t features, int64_t ranks) {
  if (features >= ranks) return;
  throw ConfigError::conflict(
      fmt::format("shard = features with {} and {} ranks, of which each needs a feature of its own",
                  counted(features, "feature"), ranks),
      fmt::format("use at most {}, or set shard to rows", counted(features, "rank")));
}

ColumnParts::ColumnParts(Ranks& ranks, const Layout& whole) : ranks_(ranks), whole_(whole) {
  require_enough(whole_.features, ranks_.size());
  own_ = layout_of(ranks_.rank());
}

ColumnParts::Layout ColumnParts::layout_of(int64_t rank) const {
  Layout layout = whole_;
  layout.features = first_column(rank + 1) - first_column(rank);
  const bool has_bias = whole_.bias_at >= 0 && rank == 0;
  const bool is_bias_first = has_bias && whole_.bias_at < whole_.weight_at;
  layout.weight_at = is_bias_first ? layout.outputs : 0;
  layout.bias_at = !has_bias ? -1 : is_bias_first ? 0 : layout.outputs * layout.features;
  return layout;
}

torch::Tensor ColumnParts::part(const torch::Tensor& whole) const {
  auto part = at::empty({own_.size()}, whole.options());
  own_.weight_of(part).copy_(whole_.weight_of(whole).narrow(1, first_column(), own_.features));
  if (own_.bias_at >= 0) own_.bias_of(part).copy_(whole_.bias_of(whole));
  return part;
}

torch::Tensor ColumnParts::whole(const torch::Tensor& part) {
  const auto own = part.contiguous();
  const auto texts = ranks_.gather({static_cast<const char*>(own.const_data_ptr()), own.nbytes()});
  count_sent(own.nbytes());
  auto whole = at::empty({whole_.size()}, own.options());
  for (int64_t rank = 0; rank < ranks_.size(); ++rank) {
    const auto& text = texts[static_cast<size_t>(rank)];
    const Layout layout = layout_of(rank);
    auto theirs = at::empty({layout.size()}, own.options());
    std::memcpy(theirs.mutable_data_ptr(), text.data(), std::min(text.size(), theirs.nbytes()));
    whole_.weight_of(whole)
        .narrow(1, first_column(rank), layout.features)
        .copy_(layout.weight_of(theirs));
    if (layout.bias_at >= 0) whole_.bias_of(whole).copy_(layout.bias_of(theirs));
  }
  return whole;
}

void ColumnParts::sum(std::span<double> numbers) {
  count_sent(numbers.size_bytes());
  ranks_.sum(numbers);
}

double ColumnParts::largest(double own) {
  count_sent(sizeof(own));
  std::string bytes(sizeof(own), '\0');
  std::memcpy(bytes.data(), &own, sizeof(own));
  double largest = own;
  for (const auto& text : ranks_.gather(bytes)) {
    double theirs = 0.0;
    std::memcpy(&theirs, text.data(), std::min(text.size(), sizeof(theirs)));
    if (std::isnan(theirs) || theirs > largest) largest = theirs;  // once NaN, it stays NaN
  }
  return largest;
}

void ColumnParts::count_sent(size_t bytes) {
  sent_bytes_ += (ranks_.size() - 1) * static_cast<int64_t>(bytes);
}

}  // namespace levin
