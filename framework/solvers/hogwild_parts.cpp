#include <levin/framework/solvers/hogwild_parts.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/Context.h>

#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

template <class Number>
double learn_in_parts(const kernels::OnlineSettings& s, kernels::OnlineState<Number>& state,
                      const kernels::OnlinePass<Number>& pass) {
  const int64_t count = pass.rows.count;
  const int64_t size = at::globalContext().deterministicAlgorithms() ? count : kHogwildRows;
  std::vector<double> totals(static_cast<size_t>((count + size - 1) / size));
  kernels::HogwildBias<Number> bias(state);
  share_out(static_cast<int64_t>(totals.size()), [&](int64_t part) {
    const int64_t first = part * size;
    totals[static_cast<size_t>(part)] =
        kernels::hogwild_pass(s, state, pass, first, std::min(size, count - first), bias);
  });
  state.bias = bias.bias;
  if (s.method == kernels::OnlineMethod::ftrl && state.has_bias) {
    state.bias = -bias.z * s.learning_rate / (s.beta + std::sqrt(bias.squares));
  }
  state.bias_squares = bias.squares;
  state.bias_z = bias.z;
  state.steps += count;
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

}  // namespace

double learn_by_threads(const kernels::OnlineSettings& settings, kernels::OnlineState<float>& state,
                        const kernels::OnlinePass<float>& pass) {
  return learn_in_parts(settings, state, pass);
}
double learn_by_threads(const kernels::OnlineSettings& settings,
                        kernels::OnlineState<double>& state,
                        const kernels::OnlinePass<double>& pass) {
  return learn_in_parts(settings, state, pass);
}

}  // namespace levin
