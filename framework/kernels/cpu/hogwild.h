#pragma once

#include <levin/framework/kernels/cpu/online.h>

#include <cstdint>

namespace levin::kernels {

/// What all threads of a Hogwild pass share beside the columns. Threads read and write the numbers
/// by atomic operations, each on its own. They lie on a cache line that nothing else shares.
template <class Number>
struct alignas(64) HogwildBias {
  double bias = 0.0;
  double squares = 0.0;
  double z = 0.0;

  explicit HogwildBias(const OnlineState<Number>& state)
      : bias(state.bias), squares(state.bias_squares), z(state.bias_z) {}
};

/// Learns from rows `first` to `first + count - 1` of the pass as `online_pass` with
/// rows_a_step = 1 does, while other threads learn from other rows of the same pass. No thread
/// waits for another one: each number of a column is read and written by relaxed atomic operations,
/// and if two threads change a number at the same time, one of the two changes may be lost. Rows
/// that share few columns seldom do so. Returns the sum of the rows' losses.
///
/// The steps of the pass have the numbers from state.steps on, in the order of the rows; `state`
/// itself isn't changed, except for what `columns` points to. The bias occurs in every row, so a
/// thread keeps its changes to itself for up to kHogwildBiasRows rows before it adds them to
/// `shared`. Settings with penalties can't be used, except those of FTRL, because penalties of the
/// other methods need the number of steps since a column has occurred. Without other threads, the
/// result is that of `online_pass` to rounding.
///
/// Source: Niu, Recht, Re and Wright, "Hogwild!: A Lock-Free Approach to Parallelizing Stochastic
/// Gradient Descent", 2011.
double hogwild_pass(const OnlineSettings& settings, const OnlineState<float>& state,
                    const OnlinePass<float>& pass, int64_t first, int64_t count,
                    HogwildBias<float>& shared);
double hogwild_pass(const OnlineSettings& settings, const OnlineState<double>& state,
                    const OnlinePass<double>& pass, int64_t first, int64_t count,
                    HogwildBias<double>& shared);

/// See hogwild_pass.
constexpr int64_t kHogwildBiasRows = 4;

}  // namespace levin::kernels
