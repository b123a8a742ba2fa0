#include <levin/callbacks/pruning_choice.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/Functions.h>

#include <levin/framework/run/run.h>

namespace levin {
namespace {

/// The dimensions of `tensor` without the one whose slices are pruned.
std::vector<int64_t> dims_of_a_slice(const torch::Tensor& tensor, int64_t dim) {
  std::vector<int64_t> dims;
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    if (i != dim) dims.push_back(i);
  }
  return dims;
}

/// The same random numbers on every rank, whatever the device.
torch::Tensor random_like(const torch::Tensor& scores, Run& run) {
  auto drawn = at::rand(scores.sizes(), at::TensorOptions(at::kFloat));
  if (!run.is_global_zero()) drawn.zero_();
  if (run.ranks().size() > 1) {
    // The sum with zeros has the bits of rank 0's numbers.
    drawn = run.reduce(drawn.to(scores.device()), Reduce::sum);
  }
  return drawn.to(scores.device());
}

/// A score for each part that is pruned or kept as a whole, infinite for parts that are pruned
/// already. Its shape is that of the weight or, for slices, has 1 in all other dimensions.
torch::Tensor scores_of(const PruningChoice& choice, const torch::Tensor& weight,
                        const torch::Tensor& mask, Run& run) {
  const auto own = weight.detach();
  auto pruned = mask.eq(0);
  torch::Tensor scores = own.abs();
  if (choice.is_structured()) {
    const auto dims = dims_of_a_slice(own, choice.dim);
    pruned = mask.amax(dims, /*keepdim=*/true).eq(0);
    scores = at::linalg_vector_norm(own, choice.norm, dims, /*keepdim=*/true);
  }
  if (choice.is_random()) scores = random_like(scores, run).to(own.scalar_type());
  return scores.masked_fill(pruned, std::numeric_limits<double>::infinity());
}

}  // namespace

void choose_pruned(const PruningChoice& choice, const std::vector<torch::Tensor>& weights,
                   std::vector<torch::Tensor>& masks, Run& run) {
  std::vector<torch::Tensor> scores;
  std::vector<torch::Tensor> flat;
  for (size_t i = 0; i < weights.size(); ++i) {
    scores.push_back(scores_of(choice, weights[i], masks[i], run));
    flat.push_back(scores.back().flatten());
  }
  const auto all = at::cat(flat);
  const auto left = at::isfinite(all).count_nonzero().item<int64_t>();
  const auto& amount = choice.amount;
  const int64_t count =
      amount.is_count()
          ? std::min(amount.count(), left)
          : static_cast<int64_t>(std::llround(amount.fraction() * static_cast<double>(left)));
  const auto pruned = std::get<1>(all.topk(count, /*dim=*/0, /*largest=*/false));
  const auto keeps = at::ones_like(all).index_fill_(0, pruned, 0);
  int64_t begin = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    masks[i].mul_(keeps.narrow(0, begin, scores[i].numel()).view_as(scores[i]));
    begin += scores[i].numel();
  }
}

}  // namespace levin
