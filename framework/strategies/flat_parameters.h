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
/// Parameters of one type and device share buffers. The last parameter comes first, because that is
/// the order in which gradients become complete. Each parameter starts, and each chunk ends, at a
/// multiple of 128 bytes, so that vector instructions process the same entries together as in whole
/// parameters and give the same bits.
class FlatParameters {
 public:
  /// In bytes: two of the widest vectors, as many as ATen's loops take at a time.
  static constexpr int64_t kAlignment = 128;

  /// Moves `parameters`, which are the same on all ranks, into buffers of about `buffer_bytes`;
  /// with 0, into one buffer for each type and device. From then on the parameters are contiguous.
  FlatParameters(std::vector<torch::Tensor> parameters, int64_t rank, int64_t world_size,
                 int64_t buffer_bytes = 0);

  struct Buffer {
    torch::Tensor flat;  // [world_size * chunk]
    /// Entries a rank.
    int64_t chunk = 0;
    /// The parameters that lie in this buffer, by their numbers.
    std::vector<size_t> parameters;
  };
  /// The place of a parameter: entries [begin, begin + numel) of a buffer.
  struct Place {
    size_t buffer = 0;
    int64_t begin = 0;
    int64_t numel = 0;
  };
  /// The part of a parameter that a rank owns: `count` entries, which start at `in_parameter` in
  /// the flattened parameter and at `in_chunk` in the rank's chunk. A parameter without entries is
  /// owned by rank 0.
  struct Piece {
    int64_t in_parameter = 0;
    int64_t in_chunk = 0;
    int64_t count = 0;
    bool is_owned = false;
  };

  const std::vector<torch::Tensor>& parameters() const { return parameters_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }
  const Place& place(size_t parameter) const { return places_[parameter]; }
  Piece piece(size_t parameter, int64_t rank) const;
  /// This rank's slices, one for each parameter; they are views into the buffers.
  const std::vector<ParameterSlice>& slices() const { return slices_; }

  /// Makes the parameters whole again on every rank, after each has changed its own chunks. A
  /// collective.
  void all_gather(ProcessGroup& group);
  /// Gives each parameter memory of its own again.
  void release();

 private:
  void lay_out(int64_t buffer_bytes);
  void move_in();

  std::vector<torch::Tensor> parameters_;
  int64_t rank_;
  int64_t world_size_;
  std::vector<Buffer> buffers_;
  std::vector<Place> places_;
  std::vector<ParameterSlice> slices_;
};

}  // namespace levin
