#pragma once

#include <cstdint>
#include <span>

/// The few inner loops that are worth writing by hand, in one version for each kind of vector unit;
/// the best one this machine has is chosen when the program runs. No torch in here.
namespace levin::kernels {

/// One pass over some rows of a batch: the logits of a linear layer, their softmax cross-entropy,
/// and the gradient of its sum, while each row lies in the cache.
struct SoftmaxRegression {
  /// Row r's numbers start at data + rows[r] * features (data + r * features where `rows` is
  /// null): float32, or bytes that stand for (byte - zero_point) * scale.
  const void* data = nullptr;
  bool is_bytes = false;
  float scale = 1.0F;
  float zero_point = 0.0F;
  const int64_t* rows = nullptr;
  /// [count], each in [0, classes).
  const int64_t* labels = nullptr;
  int64_t count = 0;
  /// [classes, features], row-major, and [classes] or null.
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t classes = 0;
  int64_t features = 0;
  /// What the gradient is multiplied by: 1 / rows for that of the mean.
  float multiplier = 1.0F;
  /// The gradients are added to these: [classes, features], and [classes] or null.
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
  /// Room for `scratch_size(classes, features)` floats.
  float* scratch = nullptr;
};

/// Floats of scratch that a pass needs.
int64_t scratch_size(int64_t classes, int64_t features);

/// All loops for one kind of vector unit.
struct Kernels {
  /// "avx512", "avx2" or "portable" (which is NEON's on ARM and SSE2's on x86-64).
  const char* name;
  /// The sum of the rows' cross-entropies; adds to the gradients.
  double (*softmax_regression)(const SoftmaxRegression& pass);
  /// out[i] = (bytes[i] - zero_point) * scale for `count` bytes.
  void (*convert_bytes)(const uint8_t* bytes, int64_t count, float scale, float zero_point,
                        float* out);
};

/// Those this machine can run, the best one first.
std::span<const Kernels* const> available();
/// The best one this machine can run.
const Kernels& best();

}  // namespace levin::kernels
