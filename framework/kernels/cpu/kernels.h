#pragma once

#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse.h>

#include <cstdint>
#include <span>

/// The few inner loops that are worth writing by hand. Each is compiled once for each kind of
/// vector unit, and the best version that this machine can run is chosen when the program runs.
/// They run on the calling thread, allocate no memory and check no arguments. Nothing here includes
/// LibTorch.
///
///     const auto& kernels = levin::kernels::best();
///     kernels.convert_bytes(bytes, count, 1.0F / 255.0F, 0.0F, out);
namespace levin::kernels {

/// Rows that lie in memory, to be read in place: `count` rows of `row_size` values each. It doesn't
/// own the memory, which must exist as long as the view is used.
struct RowView {
  /// float32: each value is a 32-bit float. scaled_bytes: each value is a byte that stands for the
  /// number (byte - zero_point) * scale.
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
  /// The numbers of the rows that the next pass will read, which a pass fetches into the cache
  /// while it works on its last rows. Null: they aren't known.
  const int64_t* next_numbers = nullptr;
  int64_t next_count = 0;

  /// `new_count` of the rows from row `first` on.
  RowView narrow(int64_t first, int64_t new_count) const;
};

/// One pass over the rows x of a batch: the logits of a linear layer, x . weight^T + bias, their
/// softmax cross-entropy, and the gradient of its sum over the rows. Each row is read from memory
/// once, since its gradient is computed while it lies in the cache. To use several threads, give
/// each a part of the rows (`RowView::narrow`) with its own gradients and scratch.
struct SoftmaxRegression {
  /// x: [count, features].
  RowView rows;
  /// The classes of the rows: [count], each in [0, classes), which isn't checked.
  const int64_t* labels = nullptr;
  /// [classes, features], row-major, and [classes] or null.
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t classes = 0;
  /// The gradients are multiplied by this before they are added: with 1 / count, they are those of
  /// the mean. The returned sum isn't multiplied.
  float multiplier = 1.0F;
  /// The gradients are added to these: [classes, features], and [classes] or null.
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
  /// Room for `scratch_size(classes, features)` floats.
  float* scratch = nullptr;
};

/// The number of floats of scratch memory that a pass needs, for any number of rows.
int64_t scratch_size(int64_t classes, int64_t features);

/// A matrix of logits whose cross-entropy and gradient are wanted.
struct SoftmaxGradient {
  /// [count, stride], of which the first `classes` columns are logits. `stride` is padded_classes;
  /// the columns behind them must be finite numbers. The logits are overwritten by their gradient,
  /// multiplier * (softmax - one hot), and the other columns by finite numbers below 2e-38.
  float* logits = nullptr;
  int64_t stride = 0;
  int64_t count = 0;
  int64_t classes = 0;
  /// The classes of the rows: [count], each in [0, classes), which isn't checked.
  const int64_t* labels = nullptr;
  float multiplier = 1.0F;
  /// Room for 3 * stride floats.
  float* scratch = nullptr;
};

/// The columns of a matrix of logits whose rows are whole vectors on every machine.
int64_t padded_classes(int64_t classes);

/// The output of a linear layer for rows that are read in place: out = x . weight^T + bias.
struct LinearOutput {
  /// x: [count, features].
  RowView rows;
  /// [outputs, features], row-major, and [outputs] or null.
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t outputs = 0;
  /// [count, stride], of which the first `outputs` columns are written.
  float* out = nullptr;
  int64_t stride = 0;
  /// Room for `linear_scratch_size(outputs, features)` floats.
  float* scratch = nullptr;
};

/// The gradients of a linear layer's parameters, for rows that are read in place.
struct LinearGradient {
  /// x: [count, features].
  RowView rows;
  /// That of the layer's output, the first `outputs` columns of [count, stride].
  const float* gradient = nullptr;
  int64_t stride = 0;
  int64_t outputs = 0;
  /// gradient^T . x is added to the first, [outputs, features]; the sums of the gradient's columns
  /// to the second, [outputs] or null.
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
  /// Room for `linear_scratch_size(outputs, features)` floats.
  float* scratch = nullptr;
};

/// The number of floats of scratch memory that LinearOutput and LinearGradient need.
int64_t linear_scratch_size(int64_t outputs, int64_t features);

/// A step of Adam for a parameter, or some entries of it, with gradient g:
///   g' = sign * g + weight_decay * parameter
///   mean = mean + mean_weight * (g' - mean)
///   mean_square = square_decay * mean_square + square_weight * g'^2
///   parameter = shrink * parameter
///               - rate * mean / (root_factor * sqrt(mean_square) + eps)
/// Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
struct AdamStep {
  /// `count` numbers each.
  float* parameter = nullptr;
  const float* gradient = nullptr;
  float* mean = nullptr;
  float* mean_square = nullptr;
  int64_t count = 0;
  float sign = 1.0F;
  float weight_decay = 0.0F;
  float mean_weight = 0.1F;
  float square_decay = 0.999F;
  float square_weight = 0.001F;
  float shrink = 1.0F;
  float rate = 1e-3F;
  float root_factor = 1.0F;
  /// Above 0, or no entry of mean_square may be 0.
  float eps = 1e-8F;
};

/// All loops for one kind of vector unit.
struct Kernels {
  /// "amx", "avx512", "avx2" or "portable" (which is NEON's on ARM and SSE2's on x86-64).
  const char* name;
  /// Returns the sum of the rows' cross-entropies and adds to the gradients. Results of different
  /// kinds of vector units may differ in the last bits.
  double (*softmax_regression)(const SoftmaxRegression& pass);
  /// Returns the sum of the rows' cross-entropies and writes their gradients.
  double (*softmax_gradient)(const SoftmaxGradient& pass);
  /// Writes the output; adds to the gradients.
  void (*linear_output)(const LinearOutput& pass);
  void (*linear_gradient)(const LinearGradient& pass);
  /// out[i] = (bytes[i] - zero_point) * scale for `count` bytes.
  void (*convert_bytes)(const uint8_t* bytes, int64_t count, float scale, float zero_point,
                        float* out);
  /// Changes the parameter and the means. An entry has the same bits in any part of a parameter.
  void (*adam_step)(const AdamStep& step);
  /// to[i] += from[i] for `count` numbers.
  void (*add)(const float* from, int64_t count, float* to);
  /// Write the output; add to the gradients.
  void (*sparse_output)(const SparseOutput<float>& pass);
  void (*sparse_output_double)(const SparseOutput<double>& pass);
  void (*sparse_gradient)(const SparseGradient<float>& pass);
  void (*sparse_gradient_double)(const SparseGradient<double>& pass);
  /// Fill the columns of a state without steps, whose other members are as in a new one or set to
  /// the bias to start with. `weights` is [row_size], or null if all are 0.
  void (*online_start)(const OnlineSettings& settings, OnlineState<float>& state,
                       const float* weights);
  void (*online_start_double)(const OnlineSettings& settings, OnlineState<double>& state,
                              const double* weights);
  /// Learn from the rows, and return the sum of row_weight * loss, each row's loss being that
  /// before the step that learns from it ("progressive" loss).
  double (*online_pass)(const OnlineSettings& settings, OnlineState<float>& state,
                        const OnlinePass<float>& pass);
  double (*online_pass_double)(const OnlineSettings& settings, OnlineState<double>& state,
                               const OnlinePass<double>& pass);
  /// Bring all columns to the steps made so far. With SGD and Adagrad, their first numbers are then
  /// the weights.
  void (*online_finish)(const OnlineSettings& settings, OnlineState<float>& state);
  void (*online_finish_double)(const OnlineSettings& settings, OnlineState<double>& state);
  /// Write the weights of all columns, [row_size], and leave the state as it is.
  void (*online_weights)(const OnlineSettings& settings, const OnlineState<float>& state,
                         float* weights);
  void (*online_weights_double)(const OnlineSettings& settings, const OnlineState<double>& state,
                                double* weights);
  /// Learn from rows `first` to `first + count - 1` of the pass while other threads or processes
  /// learn from other rows into the same columns: see hogwild.h. Return what online_pass does.
  double (*hogwild_pass)(const OnlineSettings& settings, const OnlineState<float>& state,
                         const OnlinePass<float>& pass, int64_t first, int64_t count,
                         HogwildBias& shared);
  double (*hogwild_pass_double)(const OnlineSettings& settings, const OnlineState<double>& state,
                                const OnlinePass<double>& pass, int64_t first, int64_t count,
                                HogwildBias& shared);
};

/// The kernels that this machine can run, the best ones first; never empty. For tests and
/// measurements.
std::span<const Kernels* const> available();
/// The best kernels that this machine can run, always the same ones during a run of the program.
const Kernels& best();

}  // namespace levin::kernels
