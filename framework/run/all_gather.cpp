#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

std::string gathered_shape(const torch::Tensor& tensor) {
  return fmt::format("[{}] of {}", fmt::join(tensor.sizes().vec(), ", "),
                     c10::toString(tensor.scalar_type()));
}

/// Returns the tensors of all ranks that count, [ranks, ...], on the device of `own`.
torch::Tensor gather_tensors(Ranks& ranks, const torch::Tensor& own, bool counts) {
  const at::NoGradGuard no_grad;
  if (ranks.size() == 1) return own.detach().unsqueeze(0).clone();
  StateDict packed;
  packed.values["counts"] = counts;
  packed.tensors["own"] = own.detach().to(at::kCPU).contiguous();
  std::vector<torch::Tensor> all;
  std::vector<torch::Tensor> counted;
  for (const auto& bytes : ranks.gather(checkpoint_bytes(packed))) {
    const StateDict given = checkpoint_from_bytes(bytes);
    all.push_back(given.tensor("own"));
    if (given.values.at("counts").as_bool()) counted.push_back(all.back());
  }
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank].sizes() == all[0].sizes() && all[rank].scalar_type() == all[0].scalar_type()) {
      continue;
    }
    throw DistributedError(fmt::format(
        "all_gather: rank 0 gave a tensor {}, and rank {} one {}; give tensors of the same shape "
        "and type on every rank, for example by filling up the rows of a batch that is short",
        gathered_shape(all[0]), rank, gathered_shape(all[rank])));
  }
  return at::stack(counted).to(own.device());
}

/// Gathers, and sends each rank the sum of the gradients that all ranks have for its tensor.
class GatherWithGradients : public torch::autograd::Function<GatherWithGradients> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& own,
                               Ranks* ranks) {
    context->saved_data["ranks"] = reinterpret_cast<int64_t>(ranks);
    return gather_tensors(*ranks, own, /*counts=*/true);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    auto& ranks = *reinterpret_cast<Ranks*>(context->saved_data["ranks"].toInt());
    const torch::Tensor& gradient = gradients.at(0);  // [ranks, ...]
    if (ranks.size() == 1) return {gradient.squeeze(0), torch::Tensor()};
    const auto all = gather_tensors(ranks, gradient, /*counts=*/true);
    return {all.sum(0).select(0, ranks.rank()), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor Run::all_gather(const torch::Tensor& own, bool sync_grads) {
  if (!own.defined()) {
    throw ModuleError::contract("all_gather", "the tensor is undefined",
                                "give every rank's tensor");
  }
  if (!sync_grads) return gather_tensors(*ranks_, own, place_.model_rank == 0);
  if (place_.model_size > 1) {
    throw ModuleError::contract(
        "all_gather",
        fmt::format("{} ranks share a model, of which only the first one's tensor is "
                    "gathered, so gradients can't flow back",
                    place_.model_size),
        "leave sync_grads out");
  }
  return GatherWithGradients::apply(own, ranks_);
}

}  // namespace levin
