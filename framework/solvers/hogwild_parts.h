#pragma once

#include <cstdint>

#include <levin/framework/kernels/cpu/online.h>

namespace levin {

/// The rows that a thread takes at a time in `learn_by_threads`. A batch should have several times
/// as many for each thread.
inline constexpr int64_t kHogwildRows = 256;

/// Learns from the rows of a pass by all threads of `share_out`, which don't wait for each other
/// (kernels::hogwild_pass), and returns the sum of the rows' losses. Every row is a step. With
/// LibTorch's deterministic algorithms, the calling thread learns from all rows, in their order.
double learn_by_threads(const kernels::OnlineSettings& settings, kernels::OnlineState<float>& state,
                        const kernels::OnlinePass<float>& pass);
double learn_by_threads(const kernels::OnlineSettings& settings,
                        kernels::OnlineState<double>& state,
                        const kernels::OnlinePass<double>& pass);

}  // namespace levin
