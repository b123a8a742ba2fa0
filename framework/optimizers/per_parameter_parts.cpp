#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>

#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/optimizers/per_parameter.h>
#include <levin/framework/threads/shared_work.h>

// How several threads share a step of an optimizer.

namespace levin {
namespace {

// The entries of a part: about 25 us of a core with Adam. A multiple of any vector's length, so
// that the kernels put the same entries into vectors as without parts, and the bits are the same.
constexpr int64_t kPart = 32'768;

torch::Tensor piece_of(const torch::Tensor& tensor, int64_t begin, int64_t end) {
  return begin == 0 && end == tensor.numel() ? tensor
                                             : tensor.view(-1).narrow(0, begin, end - begin);
}

}  // namespace

void PerParameterOptimizer::call_fused(const Bucket& bucket) {
  const auto& route = bucket.fused;
  if (!bucket.device.is_cpu()) return fused(route.lists);
  share_out(static_cast<int64_t>(route.parts.size()), [&](int64_t part) {
    const at::AutoDispatchBelowAutograd no_autograd_kernels;
    // The means of a gradient that has become 0 decay to denormal numbers, and stay there.
    const kernels::DenormalsAreZero scope;
    if (route.parts.size() == 1) return fused(route.lists);
    fused(take(route.lists, route.parts[static_cast<size_t>(part)]));
  });
}

/// Cuts the lists into parts of about kPart entries. Only contiguous parameters are cut.
auto PerParameterOptimizer::cut(const Lists& lists) const -> std::vector<std::vector<Piece>> {
  std::vector<std::vector<Piece>> parts(1);
  int64_t room = kPart;
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const int64_t size = lists.parameters[i].numel();
    const bool is_cut = settings_.is_elementwise && lists.parameters[i].is_contiguous();
    for (int64_t begin = 0; begin < size;) {
      if (room <= 0 && settings_.is_elementwise) {
        parts.emplace_back();
        room = kPart;
      }
      const int64_t end = is_cut ? std::min(size, begin + kPart) : size;
      parts.back().push_back({i, begin, end});
      room -= end - begin;
      begin = end;
    }
  }
  return parts;
}

auto PerParameterOptimizer::take(const Lists& lists, const std::vector<Piece>& part) -> Lists {
  Lists result;
  result.learning_rate = lists.learning_rate;
  result.learning_rate_tensor = lists.learning_rate_tensor;
  result.weight_decay = lists.weight_decay;
  result.grad_scale = lists.grad_scale;
  result.found_inf = lists.found_inf;
  result.first = lists.first;
  result.states.resize(lists.states.size());
  for (const auto& [index, begin, end] : part) {
    result.parameters.push_back(piece_of(lists.parameters[index], begin, end));
    result.gradients.push_back(piece_of(lists.gradients[index], begin, end));
    if (!lists.steps.empty()) result.steps.push_back(lists.steps[index]);
    for (size_t k = 0; k < lists.states.size(); ++k) {
      result.states[k].push_back(piece_of(lists.states[k][index], begin, end));
    }
  }
  return result;
}

}  // namespace levin
