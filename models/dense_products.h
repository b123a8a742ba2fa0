#pragma once

#include <optional>

#include <torch/types.h>

namespace levin {

// Products of dense float32 matrices on the CPU. LibTorch computes them by MKL, which uses 256 bits
// of the vectors of a processor that isn't Intel's; the oneDNN that LibTorch has inside uses 512
// where there are as many. So large products go to oneDNN there: with units of 512 bits (Zen 5), it
// takes half the time (docs/speed.md).

/// out [rows, columns] = a [rows, n] . b [n, columns] + bias [columns], which may be undefined.
/// Nothing is checked, and nothing is recorded for autograd. Which library computes it follows from
/// the processor and the sizes alone.
void multiply(torch::Tensor& out, const torch::Tensor& a, const torch::Tensor& b,
              const torch::Tensor& bias = {});

/// Whether oneDNN is the faster one, on a processor of Intel's or another one, for a product of so
/// many floating-point operations.
bool is_for_onednn(bool is_intel, bool has_avx512, double flops);

/// The same by oneDNN; nothing where LibTorch was built without it.
std::optional<torch::Tensor> product_by_onednn(const torch::Tensor& a, const torch::Tensor& b,
                                               const torch::Tensor& bias = {});

}  // namespace levin
