#pragma once

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include <levin/framework/compression/gradient_compression.h>

namespace levin::test {

/// The exchange of a single rank, which receives what it sends; counts the bytes of its messages.
class LoneExchange : public GradientExchange {
 public:
  int64_t world_size() const override { return 1; }
  Pending all_gather(const torch::Tensor& own) override {
    bytes += static_cast<int64_t>(own.nbytes());
    return [own] { return own.clone().unsqueeze(0); };
  }
  Pending all_reduce(torch::Tensor own) override {
    bytes += static_cast<int64_t>(own.nbytes());
    return [own] { return own.clone(); };
  }
  int64_t bytes = 0;
};

/// What the compression makes of one rank's gradients in one step.
inline torch::Tensor sent(GradientCompression& compression, const torch::Tensor& values,
                          GradientExchange& exchange) {
  compression.start(values, exchange);
  compression.proceed(exchange);
  return compression.finish();
}
inline torch::Tensor sent(GradientCompression& compression, const torch::Tensor& values) {
  LoneExchange exchange;
  return sent(compression, values, exchange);
}

/// Parameters p0, p1 ... of these shapes.
inline GradientLayout layout_of(std::vector<std::vector<int64_t>> shapes,
                                at::ScalarType type = at::kFloat) {
  GradientLayout layout{.shapes = std::move(shapes), .type = type, .seed = 5};
  for (size_t i = 0; i < layout.shapes.size(); ++i) {
    layout.names.push_back("p" + std::to_string(i));
  }
  return layout;
}

/// Normal numbers, the same in each run.
inline torch::Tensor normal(std::vector<int64_t> shape, uint64_t seed,
                            at::ScalarType type = at::kFloat) {
  auto generator = torch::make_generator<at::CPUGeneratorImpl>(seed);
  return torch::randn(shape, generator, torch::TensorOptions().dtype(type));
}

}  // namespace levin::test
