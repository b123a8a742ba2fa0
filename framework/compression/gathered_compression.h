#pragma once

#include <utility>

#include <levin/framework/compression/gradient_memory.h>

namespace levin {

/// The base of the ways in which every rank sends its own packed gradients to each other rank, and
/// adds up what it has received in the order of the ranks. A rank therefore sends world_size - 1
/// times the packed bytes.
class GatheredCompression : public GradientCompression {
 public:
  void start(const torch::Tensor& own, GradientExchange& exchange) final;
  torch::Tensor finish() final;
  StateDict state_dict() const override { return memory_.state_dict(); }
  void load_state_dict(const StateDict& state) override { memory_.load_state_dict(state); }

 protected:
  /// With `error_feedback`, what a rank's packed bytes leave out of its gradients is added to those
  /// of the next step.
  GatheredCompression(const GradientLayout& layout, bool error_feedback)
      : layout_(layout), memory_(layout, error_feedback) {}

  /// Packs `values`, [n], into bytes whose number is the same on all ranks and in all steps.
  virtual torch::Tensor pack(const torch::Tensor& values) = 0;
  /// Adds what the bytes stand for to `sums`, [n].
  virtual void add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const = 0;
  const GradientLayout& layout() const { return layout_; }

 private:
  torch::Tensor zeros() const;

  GradientLayout layout_;
  GradientMemory memory_;
  GradientExchange::Pending gathered_;
};

}  // namespace levin
