#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

class ProcessGroup;

/// Parameters laid next to each other in a few buffers, each buffer cut into as many equal chunks
/// as there are ranks: rank r owns the r-th chunk of every buffer. ZeRO:
/// https://arxiv.org/abs/1910.02054.
///
///     buffer   |  w3  | b2 |      w2      | b1 |   w1   |  .|
///     chunks   |      rank 0      |     rank 1     |  rank 2  |
///
/// Parameters of one type and device share buffers, the last ones first: in that order their
/// gradients get ready. Each one starts, and each chunk ends, at a multiple of 128 bytes, so that
/// vector instructions meet the same entries as in whole parameters and give the same bits.
class FlatParameters {
 public:
  /// Bytes: two of the widest vectors, as ATen's loops go.
  static constexpr int64_t kAlignment = 128;

  /// Moves `parameters`, the same on all ranks, into buffers of about `buffer_bytes` (0: one a type
  /// and device); dense in memory from then on, last dimension first.
  FlatParameters(std::vector<torch::Tensor> parameters, int64_t rank, int64_t world_size,
                 int64_t buffer_bytes = 0);

  struct Buffer {
    torch::Tensor flat;  // [world_size * chunk]
    int64_t chunk = 0;
    std::vector<size_t> parameters;
  };
  /// Where a parameter lies: entries [begin, begin + numel) of a buffer.
  struct Place {
    size_t buffer = 0;
    int64_t begin = 0;
    int64_t numel = 0;
  };
  /// What a rank owns of a parameter: `count` entries, from `in_parameter` on in the flattened
  /// parameter, from `in_chunk` on in the rank's chunk. A parameter without entries is rank 0's.
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
  /// This rank's slices, one a parameter: views into the buffers.
  const std::vector<ParameterSlice>& slices() const { return slices_; }

  /// Makes the parameters whole again on every rank after each has changed its own chunks.
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
