#pragma once

#include <cstdint>
#include <span>

/// The few inner loops that are worth writing by hand. Each is compiled once for each kind of
/// vector unit, and the best version that this machine can run is chosen when the program runs.
/// Nothing here includes LibTorch.
namespace levin::kernels {

/// Rows that lie in memory, to be read in place: `count` rows of `row_size` values each, by number.
struct RowView {
  /// float32: each value is one. scaled_bytes: each value is a byte that stands for the number
  /// (byte - zero_point) * scale.
  enum class Type { float32, scaled_bytes };

  /// Row i of the view starts at value numbers[i] * row_size of `data`, or at value i * row_size if
  /// `numbers` is null.
  const void* data = nullptr;
  Type type = Type::float32;
  float scale = 1.0F;
  float zero_point = 0.0F;
  const int64_t* numbers = nullptr;
  int64_t count = 0;
  int64_t row_size = 0;

  /// `new_count` of the rows from row `first` on.
  RowView narrow(int64_t first, int64_t new_count) const;
};

/// One pass over the rows x of a batch: the logits of a linear layer, their softmax cross-entropy,
/// and the gradient of the sum of that over the rows, computed while each row lies in the cache.
struct SoftmaxRegression {
  /// x: [count, features].
  RowView rows;
  /// [count], each in [0, classes).
  const int64_t* labels = nullptr;
  /// [classes, features], row-major, and [classes] or null.
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t classes = 0;
  /// The gradient is multiplied by this: 1 / count gives that of the mean.
  float multiplier = 1.0F;
  /// The gradients are added to these: [classes, features], and [classes] or null.
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
  /// Room for `scratch_size(classes, features)` floats.
  float* scratch = nullptr;
};

/// The number of floats of scratch memory that a pass needs.
int64_t scratch_size(int64_t classes, int64_t features);

/// All loops for one kind of vector unit.
struct Kernels {
  /// "avx512", "avx2" or "portable" (which is NEON's on ARM and SSE2's on x86-64).
  const char* name;
  /// Returns the sum of the rows' cross-entropies and adds to the gradients.
  double (*softmax_regression)(const SoftmaxRegression& pass);
  /// out[i] = (bytes[i] - zero_point) * scale for `count` bytes.
  void (*convert_bytes)(const uint8_t* bytes, int64_t count, float scale, float zero_point,
                        float* out);
};

/// The kernels that this machine can run, the best ones first.
std::span<const Kernels* const> available();
/// The best kernels that this machine can run.
const Kernels& best();

}  // namespace levin::kernels
