#include <levin/framework/compression/gradient_compression.h>

#include <ATen/TensorOperators.h>
#include <c10/util/accumulate.h>

#include <levin/framework/compression/gradient_memory.h>
#include <levin/framework/compression/one_bit.h>
#include <levin/framework/compression/powersgd.h>
#include <levin/framework/compression/qsgd.h>
#include <levin/framework/compression/topk.h>
#include <levin/framework/core/error.h>

namespace levin {

int64_t GradientLayout::size(size_t gradient) const {
  return c10::multiply_integers(shapes[gradient]);
}

int64_t GradientLayout::size() const {
  int64_t all = 0;
  for (size_t i = 0; i < shapes.size(); ++i) all += size(i);
  return all;
}

void GradientLayout::for_each(
    const torch::Tensor& flat,
    const std::function<void(size_t, const torch::Tensor&)>& visit) const {
  int64_t begin = 0;
  for (size_t i = 0; i < shapes.size(); ++i) {
    visit(i, flat.narrow(0, begin, size(i)).view(shapes[i]));
    begin += size(i);
  }
}

const GradientCompressionList& shipped_gradient_compressions() {
  static const GradientCompressionList list = [] {
    GradientCompressionList ways("gradient_compression");
    ways.add<OneBitCompression>("one_bit", "one bit a value: the means of two parts (1-bit SGD)");
    ways.add<QsgdCompression>("qsgd", "values rounded at random to a few levels, unbiased");
    ways.add<TopKCompression>("topk", "the largest values; the others later");
    ways.add<PowerSgdCompression>("powersgd", "products of matrices of a low rank (PowerSGD)");
    return ways;
  }();
  return list;
}

std::optional<at::ScalarType> sent_type(const NamedSettings& compression) {
  if (compression.name == "fp16") return at::kHalf;
  if (compression.name == "bf16") return at::kBFloat16;
  return {};
}

bool packs_gradients(const NamedSettings& compression) {
  if (compression.name == "none" || sent_type(compression)) {
    from_value({}, compression.settings, "gradient_compression: " + compression.name);
    return false;
  }
  const auto& list = shipped_gradient_compressions();
  if (list.find(compression.name) == nullptr) {
    std::vector<std::string> names{"none", "fp16", "bf16"};
    for (auto& name : list.names()) names.push_back(std::move(name));
    throw ConfigError::unknown_name("gradient_compression", compression.name, names);
  }
  list.make(compression.name, compression.settings, GradientLayout{});
  return true;
}

StateDict compression_state_for(const std::vector<StateDict>& ranks, int64_t rank,
                                int64_t world_size) {
  if (ranks.empty()) return {};
  if (static_cast<int64_t>(ranks.size()) == world_size) return ranks[static_cast<size_t>(rank)];
  StateDict state = ranks.front();
  for (auto each = state.tensors.begin(); each != state.tensors.end();) {
    if (!GradientMemory::has(each->first)) {
      ++each;
    } else if (rank != 0) {
      each = state.tensors.erase(each);
    } else {
      for (size_t other = 1; other < ranks.size(); ++other) {
        const auto found = ranks[other].tensors.find(each->first);
        if (found != ranks[other].tensors.end()) each->second = each->second + found->second;
      }
      ++each;
    }
  }
  return state;
}

}  // namespace levin
