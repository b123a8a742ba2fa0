#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// An online learner's state in memory that several processes share, so that all of them can learn
/// into it at the same time.
class HogwildMemory {
 public:
  /// The bytes for so many columns of numbers of that type, float32 or float64.
  static size_t bytes(int64_t columns, at::ScalarType type);

  /// `memory` has these bytes, begins at a page, is the same for all processes, and holds zeros at
  /// first. This object holds on to it.
  HogwildMemory(std::shared_ptr<std::byte> memory, int64_t columns, at::ScalarType type);

  /// See kernels::OnlineState: [columns, kOnlineNumbers], in the memory.
  const torch::Tensor& columns() const { return columns_; }
  kernels::HogwildBias& bias() const;
  /// Counts steps that a process is about to make. Returns the number of the first one; no other
  /// process gets the same numbers.
  int64_t take_steps(int64_t count) const;
  int64_t steps() const { return take_steps(0); }
  void set_steps(int64_t steps) const;

 private:
  struct Head;
  Head& head() const;

  std::shared_ptr<std::byte> memory_;
  torch::Tensor columns_;
};

/// The rows that a thread takes at a time in `learn_by_threads`. A batch should have several times
/// as many for each thread.
inline constexpr int64_t kHogwildRows = 256;

/// Learns from the rows of a pass by all threads of `share_out`, which don't wait for each other
/// (Kernels::hogwild_pass), and returns the sum of the rows' losses. Every row is a step.
///
/// If `shared` isn't null, state.columns points to its columns, and other processes may learn into
/// them meanwhile. The numbers of the steps are taken from there, and the bias is read and written
/// there. The rest of `state` is made what it is there at the end.
double learn_by_threads(const kernels::OnlineSettings& settings, kernels::OnlineState<float>& state,
                        const kernels::OnlinePass<float>& pass,
                        const HogwildMemory* shared = nullptr);
double learn_by_threads(const kernels::OnlineSettings& settings,
                        kernels::OnlineState<double>& state,
                        const kernels::OnlinePass<double>& pass,
                        const HogwildMemory* shared = nullptr);

}  // namespace levin
