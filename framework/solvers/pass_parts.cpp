#include <levin/framework/solvers/pass_parts.h>

#include <algorithm>
#include <array>

#include <ATen/Functions.h>

#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

/// How many numbers are added up at a time, which stay in the first-level cache meanwhile.
constexpr int64_t kNumbersAtOnce = 1024;

}  // namespace

void PassParts::require(int64_t count) {
  while (std::ssize(parts_) < count) parts_.push_back(std::make_unique<PassPart>());
}

void PassParts::set_matrix(const Rows& like, bool precise, const torch::Tensor& weight,
                           const torch::Tensor& bias) {
  const RowProducts* first = nullptr;
  for (const auto& part : parts_) {
    if (!part->weight_gradient.defined()) {
      part->weight_gradient = empty_in_huge_pages({outputs_, features_}, at::kDouble).zero_();
      part->bias_gradient = at::zeros({outputs_}, at::kDouble);
    }
    if (!part->products) part->products = make_row_products(like, outputs_, precise);
    if (first != nullptr) {
      part->products->share_matrix(*first);
      continue;
    }
    part->products->set_matrix(ranks_ ? ranks_->sorted(weight) : weight, bias);
    first = part->products.get();
  }
}

void PassParts::forget_products() {
  for (const auto& part : parts_) part->products.reset();
}

torch::Tensor PassParts::take_sums() {
  constexpr int64_t kNumbersAPart = 1 << 17;
  const int64_t numbers = outputs_ * features_;
  auto sums = at::empty({2 + numbers + outputs_}, at::kDouble);
  auto* at = sums.mutable_data_ptr<double>();
  at[0] = at[1] = 0.0;
  double* of_bias = at + 2 + numbers;
  std::fill_n(of_bias, outputs_, 0.0);
  for (const auto& part : parts_) {
    at[0] += part->loss;
    at[1] += part->weight;
    part->loss = part->weight = 0.0;
    if (!part->weight_gradient.defined()) continue;
    auto* bias = part->bias_gradient.mutable_data_ptr<double>();
    for (int64_t k = 0; k < outputs_; ++k) of_bias[k] += bias[k];
    std::fill_n(bias, outputs_, 0.0);
  }
  share_out(std::ssize(parts_), [&](int64_t p) {
    const auto& part = *parts_[static_cast<size_t>(p)];
    if (part.products && part.weight_gradient.defined()) part.products->finish(part.sums());
  });
  share_out((numbers + kNumbersAPart - 1) / kNumbersAPart, [&](int64_t p) {
    const int64_t end = std::min(numbers, (p + 1) * kNumbersAPart);
    for (int64_t first = p * kNumbersAPart; first < end; first += kNumbersAtOnce) {
      add_up(first, std::min(kNumbersAtOnce, end - first), at + 2);
    }
  });
  return sums;
}

/// Adds up the numbers [first, first + count) of all parts' gradients, writes them to where their
/// columns are in `sums`, and leaves zeros.
void PassParts::add_up(int64_t first, int64_t count, double* sums) {
  std::array<double, kNumbersAtOnce> own{};
  double* to = ranks_ ? own.data() : sums + first;
  if (!ranks_) std::fill_n(to, count, 0.0);
  for (const auto& part : parts_) {
    if (!part->weight_gradient.defined()) continue;
    double* from = part->weight_gradient.mutable_data_ptr<double>() + first;
    for (int64_t i = 0; i < count; ++i) to[i] += from[i];
    std::fill_n(from, count, 0.0);
  }
  if (!ranks_) return;
  const int32_t* columns = ranks_->columns();
  double* of_output = sums + first / features_ * features_;
  int64_t rank = first % features_;
  for (int64_t i = 0; i < count; ++i) {
    of_output[columns[rank]] = to[i];
    if (++rank < features_) continue;
    of_output += features_;
    rank = 0;
  }
}

}  // namespace levin
