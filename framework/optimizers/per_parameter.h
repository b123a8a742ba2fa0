#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <levin/framework/optimizers/optimizer.h>

namespace levin {

/// The base class of optimizers that change each parameter by its own gradient and state alone. It
/// keeps the state and makes the lists that fused kernels take; a subclass adds the mathematics:
///
///     class SignDescent : public levin::PerParameterOptimizer {
///      public:
///       SignDescent(std::vector<torch::Tensor> parameters, double learning_rate)
///           : PerParameterOptimizer(levin::single_group(std::move(parameters)), learning_rate,
///                                   /*weight_decay=*/0.0, {.has_fused = false}) {}
///      protected:
///       void plain(const Lists& lists) override {
///         for (size_t i = 0; i < lists.parameters.size(); ++i) {
///           lists.parameters[i].add_(lists.gradients[i].sign(), -lists.learning_rate);
///         }
///       }
///     };
///
/// Parameters of one group, device and type form a bucket, which one call changes. A step leaves
/// out parameters whose gradient is undefined, and a parameter's state starts at its first
/// gradient. Once every parameter has had one, a step only gathers the gradients and calls the
/// kernels: this class then allocates no tensors of the parameters' size, and waits for the device
/// only if `plain` has to be called while found_inf is set.
class PerParameterOptimizer : public Optimizer {
 public:
  /// As Optimizer::step. Throws ModuleError for a sparse gradient that the subclass can't work
  /// with.
  torch::Tensor step(const Closure& closure = {}) final;
  /// Also writes the rate to the copies that fused kernels read on their devices.
  void set_learning_rate(double learning_rate, size_t group = 0) final;
  /// True on CUDA if the settings say so, every parameter that is trained has its state, and the
  /// last step changed all parameters by the fused kernel.
  bool is_capturable() const final;
  /// Whether each entry of a parameter is changed by its own gradient and state alone (Settings).
  bool is_elementwise() const { return settings_.is_elementwise; }
  /// True before the first step.
  bool is_divisible() const final { return !has_buckets_ && slices_.empty(); }
  bool update_captured() final;
  /// The tensors `<parameter>.<state>`, with the subclass's names of states, and
  /// `<parameter>.step`, float32 [], if steps are counted. The state of a complex parameter is
  /// real, with a last dimension of 2.
  StateDict state_dict() const final;
  /// Copies the state into this optimizer, or this rank's slices of it. Throws CheckpointError,
  /// which lists every tensor that is missing, unexpected or of another shape or type.
  void load_state_dict(const StateDict& state) final;
  /// As Optimizer::shard; a state that exists already is carried over. Throws ConfigError unless
  /// the settings say `is_elementwise`.
  void shard(std::vector<ParameterSlice> slices, std::function<void()> after_step) final;

 protected:
  /// A kind of state tensor: its name, and the value that its entries start with.
  struct StateKind {
    std::string name;
    double initial = 0.0;
  };
  /// What one call works on. The lists have one entry for each parameter.
  struct Lists {
    /// The parameters, or the slices of them that this rank changes; real views of complex ones.
    std::vector<torch::Tensor> parameters;
    /// Their gradients, of the same shapes.
    std::vector<torch::Tensor> gradients;
    /// One list for each kind of state.
    std::vector<std::vector<torch::Tensor>> states;
    /// The number of steps taken, this one included; each float32 [].
    std::vector<torch::Tensor> steps;
    /// The present learning rate of the group.
    double learning_rate = 0.0;
    /// The same, float32 [], if the kernel should read it on its device; otherwise undefined.
    torch::Tensor learning_rate_tensor;
    /// The weight decay of the group.
    double weight_decay = 0.0;
    /// For fused kernels. `plain` gets none of them: its gradients are divided already, and it
    /// isn't called if found_inf is set.
    std::optional<torch::Tensor> grad_scale;
    std::optional<torch::Tensor> found_inf;
    /// Whether this is the first step of these parameters.
    bool first = false;
  };
  /// What a subclass tells this class of itself, once, in its constructor.
  struct Settings {
    /// The state tensors of each parameter, all of its shape and type.
    std::vector<StateKind> states{};
    /// Whether each parameter has a count of its steps, `Lists::steps`.
    bool counts_steps = false;
    /// Whether the subclass has a fused kernel; if not, every parameter goes to `plain`.
    bool has_fused = true;
    /// Whether each entry is changed by its own gradient and state alone. Then ranks may share a
    /// parameter (see `shard`), and so may threads: `fused` is called on several threads at once,
    /// each with a part of the entries.
    bool is_elementwise = false;
    /// Whether `fused` takes the learning rate and the counts of steps from the device alone, on
    /// CUDA, so that a step can be captured in a graph.
    bool is_capturable = false;
  };

  /// A parameter in float32 in the host's memory, or a part of one, as kernels of Levin's own take
  /// it: `count` numbers in each array.
  struct HostParameter {
    float* parameter = nullptr;
    const float* gradient = nullptr;
    /// In the order of Settings::states.
    std::array<float*, 2> states{};
    int64_t count = 0;
    /// The number of steps taken, this one included, if steps are counted.
    float steps = 0.0F;
    /// Those of the group.
    double learning_rate = 0.0;
    double weight_decay = 0.0;
  };

  /// Groups without a learning rate or weight decay of their own get the given ones. Throws
  /// ConfigError as Optimizer's constructor does.
  PerParameterOptimizer(std::vector<ParameterGroup> groups, double learning_rate,
                        double weight_decay, Settings settings);

  /// Whether `step_on_host` can be called, which is then done in place of `fused`. If so, there are
  /// at most two kinds of state, and the settings say `is_elementwise`.
  virtual bool has_host_kernel() const { return false; }
  /// Changes dense parameters, of any groups, that `fused` could change as well. Called by several
  /// threads at once, each with other parameters.
  virtual void step_on_host(std::span<const HostParameter> /*parameters*/) const {}
  /// Changes dense parameters on the CPU or CUDA by one kernel, with gradients of the same layout.
  /// Called only if `has_fused` is set; without an override it calls `plain`.
  virtual void fused(const Lists& lists);
  /// The same on CUDA by a kernel that counts the steps, too (`Lists::steps`, which don't count
  /// this one yet). Returns false if it has done nothing, so that the steps are counted and `fused`
  /// is called instead.
  virtual bool fused_with_count(const Lists& /*lists*/) { return false; }
  /// Whether kernels of Levin's own (kernels::cuda) take the lists, as far as all of them agree:
  /// the build has them, they read the learning rate on its device, and the numbers are float32.
  static bool suits_cuda_kernels(const Lists& lists);
  /// The same by ATen operations, for any device and memory layout, and for sparse gradients.
  /// Autograd is off during the call.
  virtual void plain(const Lists& lists) = 0;
  /// Whether `plain` can work with sparse gradients (COO) of that group. A step throws ModuleError
  /// for a sparse gradient if it can't.
  virtual bool takes_sparse(const ParameterGroup& /*group*/) const { return false; }

 private:
  /// A parameter and its state.
  struct Slot {
    torch::Tensor parameter;                // or the slice of it that this rank changes
    torch::Tensor real;                     // the same, or its real view if it is complex
    size_t index = 0;                       // in its group
    const ParameterSlice* slice = nullptr;  // null: the whole parameter
    bool fusable = false;
    bool started = false;
    std::vector<torch::Tensor> states;
    torch::Tensor step;
  };
  /// What the last step of a slot found, if gradients are kept (`keep_gradients`).
  struct Place {
    size_t slot;
    torch::Tensor gradient;
    HostParameter on_host;
  };
  /// The entries begin to end - 1 of entry `index` of the lists.
  struct Piece {
    size_t index;
    int64_t begin, end;
  };
  /// The slots of a bucket that go to one of the two functions, and the lists made of them.
  struct Route {
    std::vector<size_t> active;  // the slots that the lists now have
    size_t filled = 0;
    bool changed = false;
    Lists lists;
    std::vector<std::vector<Piece>> parts;  // of the lists, for one thread each
  };
  /// The parameters of one group, device and type.
  struct Bucket {
    size_t group;
    c10::Device device;
    c10::ScalarType type;
    bool is_for_host_kernel;
    std::vector<Slot> slots;
    torch::Tensor step_counts;  // [slots], float32
    torch::Tensor rate;         // learning_rate_tensor
    double rate_value;
    Route fused;
    Route plain;
    std::vector<Place> places{};  // of the slots with gradients; empty if they have to be found
  };

  /// Sorts all parameters into buckets, at the first step or load.
  void make_buckets();
  void add_slot(size_t group, size_t index, size_t number);
  /// Makes the state of a parameter that gets its first gradient.
  void start(Bucket& bucket, Slot& slot);
  bool is_fusable(const Bucket& bucket, const Slot& slot, const torch::Tensor& gradient) const;
  void check_sparse(const Bucket& bucket, const Slot& slot, const torch::Tensor& gradient) const;
  void step_bucket(Bucket& bucket);
  /// Makes the step of some buckets that have few entries.
  void step_small_buckets(size_t begin, size_t end);
  /// Adds the bucket's parameters that have a gradient to `ready` and counts their step. Returns
  /// false, and does nothing, if it isn't a step like most, so that step_bucket has to make it.
  bool gather_on_host(Bucket& bucket, std::vector<HostParameter>& ready) const;
  /// Whether all parameters of the bucket, and their gradients, are where the last step found them.
  bool knows_places(const Bucket& bucket) const;
  /// Finds the places; returns false if it isn't a step like most.
  bool find_places(Bucket& bucket) const;
  /// Fills the lists with the slots that have a gradient: those that have been stepped before, or,
  /// if `first`, those that haven't. If not `first`, returns how many haven't.
  size_t gather(Bucket& bucket, bool first);
  /// Brings the lists that don't change from step to step up to date.
  void refresh(Bucket& bucket, Route& route);
  /// Calls `fused` and `plain` with the lists that `gather` has filled.
  void run(Bucket& bucket, bool first);
  void run_fused(Bucket& bucket);
  /// Calls `fused`, on the CPU with the parts of the lists on several threads.
  void call_fused(const Bucket& bucket);
  void call_fused(const Bucket& bucket, const Lists& lists);
  static HostParameter on_host(const Lists& lists, size_t index);
  std::vector<std::vector<Piece>> cut(const Lists& lists) const;
  static Lists take(const Lists& lists, const std::vector<Piece>& part);
  void run_plain(Bucket& bucket);
  void count_steps(Bucket& bucket, Route& route);
  /// Writes the group's learning rate to the tensor that kernels read.
  void store_rate(Bucket& bucket);
  void save_slot(StateDict& state, const Bucket& bucket, const Slot& slot) const;
  std::vector<int64_t> whole_shape(const Bucket& bucket, const Slot& slot) const;
  std::vector<std::string> state_names(const std::string& parameter) const;
  void check_state(const StateDict& state, const Bucket& bucket,
                   std::vector<std::string>& problems) const;
  void load_slot(const StateDict& state, Bucket& bucket, Slot& slot);

  Settings settings_;
  bool has_buckets_ = false;  // whether they are made; a rank may have no bucket at all
  std::vector<Bucket> buckets_;
};

}  // namespace levin
