#pragma once

#include <cstdint>

/// Hogwild: threads and processes learn from sparse rows into the same columns (online.h), and none
/// of them waits for another one. Kernels::hogwild_pass learns from some rows of a pass as
/// online_pass with rows_a_step = 1 does, with these differences:
///
/// - What is kept of a column is read and written by relaxed atomic operations: of float columns,
///   the first two numbers at once, of double columns, each number. The columns must lie at a
///   multiple of 8 bytes. A row's update reads its columns once more, since others may have changed
///   them since the row's output was computed. If two threads change a column between each other's
///   read and write, one of the two changes is lost. Rows that share few columns seldom do so.
/// - The bias occurs in every row. A thread therefore keeps its changes to itself for up to
///   kHogwildBiasRows rows before it adds them to HogwildBias, where none is lost.
/// - The steps of the pass have the numbers from state.steps on, in the order of the rows. The
///   state itself isn't changed, except for what `columns` points to.
/// - Penalties aren't applied, except those of FTRL: those of the other methods need the number of
///   steps since a column has occurred.
///
/// Without other threads, the result is that of online_pass to rounding.
///
/// Source: Niu, Recht, Re and Wright, "Hogwild!: A Lock-Free Approach to Parallelizing Stochastic
/// Gradient Descent", 2011.
namespace levin::kernels {

/// The numbers of a state (OnlineState) that all who learn into it share beside the columns. Each
/// is read and written by atomic operations. They lie on a cache line that nothing else shares.
struct alignas(64) HogwildBias {
  double bias = 0.0;  // with FTRL it isn't kept up to date, since it follows from the two others
  double squares = 0.0;
  double z = 0.0;
};

constexpr int64_t kHogwildBiasRows = 4;

}  // namespace levin::kernels
