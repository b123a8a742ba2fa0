#include <levin/framework/compression/gathered_compression.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {

torch::Tensor GatheredCompression::zeros() const {
  return at::zeros({layout_.size()}, at::TensorOptions(layout_.device).dtype(layout_.type));
}

void GatheredCompression::start(const torch::Tensor& own, GradientExchange& exchange) {
  const auto values = memory_.add_to(own);
  const auto bytes = pack(values);
  gathered_ = exchange.all_gather(bytes);
  if (!memory_.enabled()) return;
  auto sent = zeros();
  add_unpacked(bytes, sent);
  memory_.keep(values - sent);
}

torch::Tensor GatheredCompression::finish() {
  const auto all = std::exchange(gathered_, nullptr)();
  auto sums = zeros();
  for (const auto& bytes : all.unbind()) add_unpacked(bytes, sums);
  return sums;
}

}  // namespace levin
