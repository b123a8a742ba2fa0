#pragma once

#include <cstddef>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Has the memory of tensors of which a process keeps only a part: it makes the memory whole right
/// before an operation of LibTorch uses it. A fully sharded strategy is one.
class MemoryOwner {
 public:
  virtual ~MemoryOwner() = default;
  /// Makes the memories of those numbers whole, which one operation is about to use. `operation` is
  /// its name, and `writes` says whether it changes one of them. Throws what then goes to the
  /// caller of the operation.
  virtual void prepare(const std::vector<size_t>& numbers, const char* operation, bool writes) = 0;
  /// Makes all memories whole, and keeps them so until `divide`.
  virtual void make_whole() = 0;
  /// Takes over what was changed since `make_whole`, and frees the memories.
  virtual void divide() = 0;
  /// A pass of an evaluation begins, in which operations may use the memories. A collective, as
  /// `end_evaluation` is.
  virtual void begin_evaluation() = 0;
  virtual void end_evaluation() = 0;
  /// Gives up a pass that has failed.
  virtual void leave_evaluation() noexcept = 0;
};

/// The memory of a storage, which comes and goes while tensors refer to it. Shapes, strides and
/// views of these tensors stay valid all the time; their values can be used only after `fill`.
///
/// While `watch_operations` is on, each operation of LibTorch that uses the values of such a
/// tensor, or of a view of it, asks the owner first, in forward as in backward. Operations that
/// only make views, or that only ask for the shape (zeros_like), don't. Code that takes a pointer
/// to the values has to look at `is_divided` first.
class DividedMemory {
 public:
  /// Takes the memory of the storage of `tensor`. Operations name it by `number`. `owner` must live
  /// as long as this object.
  DividedMemory(const torch::Tensor& tensor, MemoryOwner& owner, size_t number);
  /// Leaves the storage without memory; using a tensor of it is an error from then on.
  ~DividedMemory();
  DividedMemory(const DividedMemory&) = delete;
  DividedMemory& operator=(const DividedMemory&) = delete;

  /// Gives the storage the memory of `whole`, a contiguous tensor of as many bytes.
  void fill(torch::Tensor whole);
  /// Takes the memory back.
  void free();
  /// Leaves the storage the memory that `fill` gave, for good. It is then a storage like any other.
  void keep();
  bool is_filled() const { return whole_.defined(); }
  /// What `fill` was given.
  const torch::Tensor& whole() const { return whole_; }

  MemoryOwner& owner() const { return owner_; }
  size_t number() const { return number_; }

 private:
  void point_to(void* data);

  torch::Tensor tensor_;  // keeps the storage
  MemoryOwner& owner_;
  size_t number_;
  torch::Tensor whole_;
};

/// The divided memory that `tensor` lies in; null if it lies in memory of the usual kind.
DividedMemory* divided_memory_of(const torch::Tensor& tensor);
/// Whether it lies in divided memory, filled or not.
inline bool is_divided(const torch::Tensor& tensor) { return divided_memory_of(tensor) != nullptr; }

/// Sets whether operations of this thread, and those of the backward passes that it starts, ask the
/// owners of divided memory. Off at first. While it is on, each operation costs about a microsecond
/// more.
void watch_operations(bool watch);

/// The owners of the memory in which `tensors` lie, each once; none if it is all of the usual kind.
std::vector<MemoryOwner*> memory_owners_of(const std::vector<torch::Tensor>& tensors);

/// A step of an evaluation: within it, operations find the values of divided parameters, which are
/// gathered layer by layer and freed again. Every rank makes one for each batch, also a rank that
/// has no rows of it.
///
///     const auto owners = memory_owners_of(module.parameters());
///     GatheredStep gathered(owners);
///     module.validation_step(batch, step);
///     gathered.end();                        // a collective
class GatheredStep {
 public:
  explicit GatheredStep(std::vector<MemoryOwner*> owners);
  /// Without `end`, the step counts as failed, and waits for nobody.
  ~GatheredStep();
  GatheredStep(const GatheredStep&) = delete;
  GatheredStep& operator=(const GatheredStep&) = delete;
  /// Takes part in what other ranks still gather.
  void end();

 private:
  std::vector<MemoryOwner*> owners_;  // whose pass hasn't ended
};

/// Makes parameters whole while it exists, for code outside of a module's steps that reads or
/// changes their values. What has changed is kept. Does nothing for parameters that are whole.
///
///     const levin::WholeTensors whole(run.module().parameters());   // on every rank
///     for (auto& parameter : run.module().parameters()) parameter.clamp_(-1.0, 1.0);
///
/// To be made between steps, not within one; each hook that isn't inside a step will do. Making it
/// is a collective of the ranks that share the parameters. All ranks have to change them
/// in the same way.
class WholeTensors {
 public:
  explicit WholeTensors(const std::vector<torch::Tensor>& tensors);
  ~WholeTensors();
  WholeTensors(const WholeTensors&) = delete;
  WholeTensors& operator=(const WholeTensors&) = delete;

 private:
  std::vector<MemoryOwner*> owners_;
};

}  // namespace levin
