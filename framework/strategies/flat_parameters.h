#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

class ProcessGroup;

/// Parameters laid next to each other in a few buffers. Each buffer is cut into as many equal
/// chunks as there are ranks, and rank r owns the r-th chunk of every buffer. ZeRO:
/// https://arxiv.org/abs/1910.02054.
///
///     buffer   |  w3  | b2 |      w2      | b1 |   w1   |  .|
///     chunks   |      rank 0      |     rank 1     |  rank 2  |
///
/// Parameters of one type and device share buffers. The last parameter comes first, because
/// gradients become complete in that order. Each parameter starts, and each chunk ends, at a
/// multiple of 128 bytes, so that vector instructions process the same entries together as in whole
/// parameters and give the same bits.
///
///     FlatParameters flat(parameters, group.rank(), group.world_size());
///     optimizer.shard(flat.slices(), [&] { flat.all_gather(group); });   // after each step
class FlatParameters {
 public:
  /// Bytes at whose multiples parameters start: two of the widest vectors, which is what ATen's
  /// loops process at a time.
  static constexpr int64_t kAlignment = 128;

  /// Moves `parameters`, which are the same on all ranks, into buffers of about `buffer_bytes`
  /// each; with 0, into one buffer for each type and device. From then on the parameters are
  /// contiguous views into the buffers, until `release`. Needs the memory of the parameters once
  /// more while it copies them.
  ///
  /// `layers` has a number for each parameter, if it isn't empty. Parameters that follow each other
  /// and have the same number lie in the same buffer, even if it becomes larger than that.
  FlatParameters(std::vector<torch::Tensor> parameters, int64_t rank, int64_t world_size,
                 int64_t buffer_bytes = 0, const std::vector<size_t>& layers = {});

  /// A buffer and what lies in it.
  struct Buffer {
    /// All chunks, [world_size * chunk]; zeros where no parameter lies.
    torch::Tensor flat{};
    /// The number of entries that each rank owns.
    int64_t chunk = 0;
    /// This rank's chunk, in memory of its own; undefined before `separate_own_chunks`.
    torch::Tensor own{};
    /// The parameters that lie in this buffer, by their numbers in `parameters()`.
    std::vector<size_t> parameters{};
  };
  /// The place of a parameter: entries [begin, begin + numel) of a buffer.
  struct Place {
    size_t buffer = 0;
    int64_t begin = 0;
    int64_t numel = 0;
  };
  /// The part of a parameter that a rank owns: `count` entries, which start at `in_parameter` in
  /// the flattened parameter and at `in_chunk` in the rank's chunk. `count` is 0 if the rank owns
  /// nothing of it. A parameter that has no entries is owned by rank 0.
  struct Piece {
    int64_t in_parameter = 0;
    int64_t in_chunk = 0;
    int64_t count = 0;
    bool is_owned = false;
  };

  /// The parameters in the order in which they were given, and the buffers.
  const std::vector<torch::Tensor>& parameters() const { return parameters_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }
  /// The place of the parameter with that number.
  const Place& place(size_t parameter) const { return places_[parameter]; }
  /// The part that `rank` owns of the parameter with that number.
  Piece piece(size_t parameter, int64_t rank) const;
  /// This rank's slices, one for each parameter. They are views into the buffers; a slice's tensor
  /// is undefined if this rank owns nothing of the parameter.
  const std::vector<ParameterSlice>& slices() const { return slices_; }

  /// Makes the parameters whole again on every rank, after each rank has changed its own chunks. A
  /// collective.
  void all_gather(ProcessGroup& group);
  /// Copies this rank's chunk of each buffer to memory of its own, into which the slices are views
  /// from then on, so that the buffers themselves can be freed.
  void separate_own_chunks();
  /// Lets autograd notice that parameters which a graph has saved were changed.
  void note_changes();
  /// Gives each parameter memory of its own again, with a copy of its values.
  void release();

 private:
  void lay_out(int64_t buffer_bytes, const std::vector<size_t>& layers);
  void move_in();
  void make_slices();

  std::vector<torch::Tensor> parameters_;
  int64_t rank_;
  int64_t world_size_;
  std::vector<Buffer> buffers_;
  std::vector<Place> places_;
  std::vector<ParameterSlice> slices_;
};

/// Returns this rank's slices of the parameters that an optimizer steps, group after group, for
/// Optimizer::shard. `flat` is null if nothing is trained; `fixed` are the parameters that don't
/// require gradients, of which no rank has a slice. Throws ModuleError for other tensors.
std::vector<ParameterSlice> slices_of(const Optimizer& optimizer, const FlatParameters* flat,
                                      const std::vector<torch::Tensor>& fixed);

}  // namespace levin
