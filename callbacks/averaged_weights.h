#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Module;

/// The Callback::sole_task of callbacks that exchange the module's weights for an average.
inline constexpr const char* kAveragesWeights = "averages the weights";

/// An average of a module's weights over several moments of training, kept beside the module on its
/// device. Callbacks that average weights use it.
///
///     AveragedWeights average;
///     average.bind(module, /*use_buffers=*/true);
///     average.add(1.0);           // the first moment: a copy
///     average.add(0.5);           // the mean of two moments
///     average.exchange();         // now the module has the average
///
/// Tensors of integers, such as the counters of batch norms, aren't averaged but copied.
class AveragedWeights {
 public:
  /// Refers to the parameters and buffers of `module` from now on, which must live as long as this
  /// object is used. Without `use_buffers`, all buffers are copied instead of averaged. If a state
  /// was loaded before, its tensors are moved to where those of the module are; otherwise nothing
  /// has been added yet. Throws CheckpointError if the state is that of another module.
  /// With a `device`, such as "cpu", the average is kept there instead of beside the module.
  void bind(const Module& module, bool use_buffers, const std::string& device = {});
  /// Makes the average `(1 - weight) * average + weight * module`. The first call copies, whatever
  /// the weight.
  void add(double weight);
  /// Makes the average what `average` returns for each tensor that is averaged: from the average,
  /// the module's tensor on the same device, and `count`. To be called after weights were added.
  void add(const std::function<torch::Tensor(const torch::Tensor& average, const torch::Tensor& own,
                                             int64_t count)>& average);
  /// Exchanges the module's weights and the average, in place; a second call puts both back. Add
  /// nothing in between.
  void exchange();
  /// How many times weights were added.
  int64_t count() const { return count_; }

  /// The average's tensors under the names that they have in the module, and `count`. They share
  /// the average's memory.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// Exchanges the tensors of this average in a checkpoint, whose names begin with `prefix`, and
  /// the module's. Puts the average into the place of the module's weights if the checkpoint
  /// doesn't have the former.
  void exchange_in(StateDict& checkpoint, const std::string& prefix) const;

 private:
  /// A tensor of the module, and its average.
  struct Pair {
    std::string name;
    torch::Tensor own;
    torch::Tensor average{};
  };
  std::vector<Pair> pairs_;
  /// The module's tensors that are averaged, on the device of the average.
  std::vector<torch::Tensor> own_beside() const;
  void copy_others();

  std::vector<torch::Tensor> own_, averages_;  // those of the pairs that are averaged
  std::vector<size_t> copied_;                 // the numbers of the others
  int64_t count_ = 0;
  StateDict loaded_;
};

}  // namespace levin
