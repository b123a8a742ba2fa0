#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <levin/framework/optimizers/optimizer.h>

namespace levin {

/// Base of the optimizers that change each parameter by its own gradient and state alone. It keeps
/// the state and the lists that fused kernels take; what a subclass adds is the maths.
///
/// Parameters of one group, device and type make a bucket and are changed by one call. Those whose
/// gradient is undefined are left out of a step; a parameter's state starts at its first gradient.
/// In steady state a step only gathers the gradients: no allocation, no host synchronisation.
class PerParameterOptimizer : public Optimizer {
 public:
  torch::Tensor step(const Closure& closure = {}) final;
  void set_learning_rate(double learning_rate, size_t group = 0) final;
  /// State: see the subclass for its names; `<parameter>.step` where steps are counted, float32 [].
  /// A complex parameter's state is real, its last dimension 2.
  StateDict state_dict() const final;
  void load_state_dict(const StateDict& state) final;
  void shard(std::vector<ParameterSlice> slices, std::function<void()> after_step) final;

 protected:
  /// A state tensor: its name and the value it starts with.
  struct StateKind {
    std::string name;
    double initial = 0.0;
  };
  /// What one call works on: lists with one entry a parameter.
  struct Lists {
    std::vector<torch::Tensor> parameters;
    std::vector<torch::Tensor> gradients;
    /// One list for each kind of state.
    std::vector<std::vector<torch::Tensor>> states;
    /// Steps taken, this one included; each float32 [].
    std::vector<torch::Tensor> steps;
    double learning_rate = 0.0;
    /// The same, float32 [], where the kernel should read it on its device; else undefined.
    torch::Tensor learning_rate_tensor;
    double weight_decay = 0.0;
    /// For fused kernels; null for `plain`, whose gradients are divided already.
    std::optional<torch::Tensor> grad_scale;
    std::optional<torch::Tensor> found_inf;
    /// Whether it is the first step of these parameters.
    bool first = false;
  };
  struct Settings {
    std::vector<StateKind> states{};
    bool counts_steps = false;
    /// Whether there is a fused kernel; else every parameter goes to `plain`.
    bool has_fused = true;
    /// Whether each entry is changed by its own gradient and state alone, so that ranks may share a
    /// parameter.
    bool is_elementwise = false;
  };

  PerParameterOptimizer(std::vector<ParameterGroup> groups, double learning_rate,
                        double weight_decay, Settings settings);

  /// Changes dense parameters on the CPU or CUDA by one kernel.
  virtual void fused(const Lists& lists);
  /// The same by ATen operations: any device and memory layout, and sparse gradients.
  virtual void plain(const Lists& lists) = 0;
  /// Whether `plain` takes sparse gradients (COO) of that group.
  virtual bool takes_sparse(const ParameterGroup& /*group*/) const { return false; }

 private:
  struct Slot {
    torch::Tensor parameter;                // or the slice of it that is stepped on here
    torch::Tensor real;                     // the same, or its real view where it is complex
    size_t index = 0;                       // in its group
    const ParameterSlice* slice = nullptr;  // null: all of it
    bool fusable = false;
    bool started = false;
    std::vector<torch::Tensor> states;
    torch::Tensor step;
  };
  struct Route {
    std::vector<size_t> active;  // slots in the lists now
    size_t filled = 0;
    bool changed = false;
    Lists lists;
  };
  struct Bucket {
    size_t group;
    c10::Device device;
    c10::ScalarType type;
    std::vector<Slot> slots;
    torch::Tensor step_counts;  // [slots], float32
    torch::Tensor rate;         // learning_rate_tensor
    double rate_value;
    Route fused;
    Route plain;
  };

  void make_buckets();
  void add_slot(size_t group, size_t index, size_t number);
  void start(Bucket& bucket, Slot& slot);
  bool is_fusable(const Bucket& bucket, const Slot& slot, const torch::Tensor& gradient) const;
  void check_sparse(const Bucket& bucket, const Slot& slot, const torch::Tensor& gradient) const;
  void step_bucket(Bucket& bucket);
  size_t gather(Bucket& bucket, bool first);
  void refresh(Bucket& bucket, Route& route);
  void run(Bucket& bucket, bool first);
  void run_fused(Bucket& bucket);
  void run_plain(Bucket& bucket);
  void count_steps(Bucket& bucket, Route& route);
  void store_rate(Bucket& bucket);
  void save_slot(StateDict& state, const Bucket& bucket, const Slot& slot) const;
  std::vector<int64_t> whole_shape(const Bucket& bucket, const Slot& slot) const;
  std::vector<std::string> state_names(const std::string& parameter) const;
  void check_state(const StateDict& state, const Bucket& bucket,
                   std::vector<std::string>& problems) const;
  void load_slot(const StateDict& state, Bucket& bucket, Slot& slot);

  Settings settings_;
  bool has_buckets_ = false;  // a rank may have none to make
  std::vector<Bucket> buckets_;
};

}  // namespace levin
