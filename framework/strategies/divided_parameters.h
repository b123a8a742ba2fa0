#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class ProcessGroup;

/// Parameters of which each rank keeps only its slices. They are gathered unit by unit, right
/// before operations use them, and freed after. ZeRO stage 3, https://arxiv.org/abs/1910.02054.
///
/// A unit is one or several layers that follow each other, of at least `unit_bytes` together unless
/// no layer is left; a layer larger than that is a unit by itself. A layer is what a module has
/// registered under one name: a weight and its bias, for example. Each parameter that the outermost
/// module has registered itself is a layer.
///
/// Nothing in the module says when its layers are used. Instead, each operation of LibTorch asks
/// for the units that it uses (framework/tensor/divided_memory.h). If a unit is asked for that
/// isn't there, the units that the operation doesn't use are freed, and the unit is gathered. The
/// ranks remember the order of units in a pass, and gather the next one while they compute with the
/// present one. So a rank holds at most two units beside its slices, more only if one operation
/// uses more.
///
/// In a pass, that is, the forward or the backward pass of a batch, ranks may use different units,
/// in different orders, or none if they have no rows. All of them first gather what was used in the
/// last pass of that kind, and then agree on what else is asked for, with an exchange of 8 bytes
/// for each unit, until no rank asks for more:
///
///     DividedParameters parameters(group, named, {.unit_bytes = 1 << 20});
///     parameters.begin(DividedParameters::Pass::forward);          // on every rank
///     loss = model.loss(batch);                                    // on ranks that have rows
///     parameters.end();                                            // on every rank
///
/// All units are freed at the end of a pass, except that the backward pass finds the last unit of
/// the forward pass. A step of an evaluation (GatheredStep) is a pass, too.
class DividedParameters : private MemoryOwner {
 public:
  /// What a pass does; the order of units is remembered for each kind.
  enum class Pass { forward, backward, evaluation };

  struct Options {
    /// The size that layers are joined to.
    int64_t unit_bytes = 0;
    /// Called before and after this rank waits for others.
    std::function<void(bool waits)> on_wait{};
  };

  /// Divides `parameters`, whose values are the same on all ranks, by cutting each unit into equal
  /// chunks. `group` isn't used for anything else, and must live longer; null: there is one rank.
  /// Operations of this thread are watched until this object is destroyed. A collective.
  DividedParameters(ProcessGroup* group, const NamedTensors& parameters, Options options);
  /// Leaves the parameters without values, unless `release` was called.
  ~DividedParameters() override;

  /// Begins a pass. Operations outside of passes that use the parameters' values throw ModuleError.
  void begin(Pass pass);
  /// Ends it. A collective. Throws DistributedError if another rank is gone, as operations within a
  /// pass do.
  void end();
  /// Leaves the parameters their values, in memory of the usual kind. A collective, after which
  /// this object can only be destroyed.
  void release();

  /// The parameters that require gradients, and their slices. Null if none does.
  FlatParameters* trained() const { return trained_.get(); }
  /// Returns the part of a parameter that this rank keeps; its tensor is undefined if that is
  /// nothing. `tensor` is the parameter, or lies in the same memory, as its `detach()` does. Null
  /// if it isn't among those that are divided.
  const ParameterSlice* slice_of(const torch::Tensor& tensor) const;

  /// The number of units.
  size_t units() const { return units_.size(); }
  /// The bytes of each unit, all chunks together.
  std::vector<int64_t> unit_sizes() const;
  /// The bytes of gathered units that this rank holds, and the most that it has held in a pass.
  int64_t gathered_bytes() const { return gathered_; }
  int64_t most_gathered_bytes() const { return most_gathered_; }
  /// The bytes that this rank has sent to gather units.
  int64_t sent_bytes() const { return sent_; }

 private:
  struct Unit;
  struct Order;

  void divide(std::unique_ptr<FlatParameters>& flat);
  void prepare(const std::vector<size_t>& numbers, const char* operation, bool writes) override;
  void make_whole() override;
  void divide() override;
  void begin_evaluation() override { begin(Pass::evaluation); }
  void end_evaluation() override { end(); }
  void leave_evaluation() noexcept override { order_ = nullptr; }
  void get(size_t unit, const std::vector<size_t>& used);
  void keep_only(const std::vector<size_t>& used);
  void start(size_t unit);
  int64_t chunk_bytes(const Unit& unit) const;
  void finish(size_t unit);
  void drop(size_t unit);
  void free(size_t unit);
  void free_all();
  void start_next();
  size_t agree(size_t wanted);
  std::string name_of(size_t unit) const;

  ProcessGroup* group_;
  Options options_;
  std::unique_ptr<FlatParameters> trained_;
  std::unique_ptr<FlatParameters> fixed_;
  std::vector<std::string> names_;  // of the first parameter of each unit
  std::vector<std::unique_ptr<Unit>> units_;
  std::unique_ptr<Order> forward_, backward_, evaluation_;
  Order* order_ = nullptr;  // of the pass; null outside of passes
  int64_t holds_ = 0;       // calls of make_whole
  int64_t gathered_ = 0;
  int64_t most_gathered_ = 0;
  int64_t sent_ = 0;
};

}  // namespace levin
