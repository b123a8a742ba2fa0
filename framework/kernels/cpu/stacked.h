#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// Inner loops for many small models that see the same rows, as StackedModels trains them
/// (tuning/batched). The rows lie in the lanes of the vectors, so that no loop adds up the lanes of
/// a vector or fills up classes to whole vectors. As kernels.h says of the others, each loop is
/// compiled for each kind of vector unit, runs on the calling thread, allocates no memory and
/// checks no arguments.
///
///     const auto& kernels = levin::kernels::best_stacked();
///     kernels.outputs({.columns = columns, .stride = padded_rows(rows), ...});
///     const double loss = kernels.softmax({.outputs = outputs, ...});
///     kernels.gradients({.rows = rows, .gradient = outputs, ...});
///
/// Matrices that a comment calls "columns" have one row for each feature or unit, which holds its
/// values in all rows of the batch: [features, stride]. The stride is at least `padded_rows`, and
/// the values behind those of the batch's rows must be finite numbers.
namespace levin::kernels {

/// `rows` rounded up to whole vectors on every machine.
constexpr int64_t padded_rows(int64_t rows) { return (rows + 15) / 16 * 16; }

/// The outputs of a linear layer: out = weight . columns + bias.
struct StackedOutputs {
  /// The input, [features, stride].
  const float* columns = nullptr;
  int64_t stride = 0;
  /// The rows of the batch; all `padded_rows` of them are computed.
  int64_t rows = 0;
  int64_t features = 0;
  /// [outputs, features], and [outputs] or null.
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t outputs = 0;
  /// [outputs, out_stride], of which the first `padded_rows` columns are written.
  float* out = nullptr;
  int64_t out_stride = 0;
};

/// The cross-entropy of the softmax of outputs.
struct StackedSoftmax {
  /// [classes, stride]. `softmax` overwrites them by the gradient, multiplier * (softmax - one
  /// hot), which is 0 behind the rows of the batch.
  float* outputs = nullptr;
  int64_t stride = 0;
  int64_t rows = 0;
  int64_t classes = 0;
  /// The classes of the rows: [rows], each in [0, classes), which isn't checked.
  const int64_t* labels = nullptr;
  float multiplier = 1.0F;
};

/// What is known of the outputs of a model that is evaluated.
struct StackedScore {
  /// The sum of the rows' cross-entropies.
  double loss = 0.0;
  /// The rows whose largest output is that of their class; of equal outputs, the first counts.
  int64_t hits = 0;
};

/// The gradients of a linear layer's parameters.
struct StackedGradients {
  /// The input, row after row: [rows, width], of which the first `features` columns count. `width`
  /// is `padded_rows(features)`, and the columns behind are finite numbers.
  const float* input = nullptr;
  int64_t width = 0;
  int64_t rows = 0;
  int64_t features = 0;
  /// That of the outputs, [outputs, stride], which is 0 behind the rows of the batch.
  const float* gradient = nullptr;
  int64_t stride = 0;
  int64_t outputs = 0;
  /// Written: gradient . input, [outputs, features], and the sums over the rows, [outputs] or null.
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
};

/// A step of SGD without momentum for a parameter, or some entries of it, with gradient g:
///   parameter = parameter - rate * (sign * g + weight_decay * parameter)
struct SgdStep {
  /// `count` numbers each.
  float* parameter = nullptr;
  const float* gradient = nullptr;
  int64_t count = 0;
  float sign = 1.0F;
  float weight_decay = 0.0F;
  float rate = 1e-3F;
};

/// All loops for one kind of vector unit.
struct StackedKernels {
  /// "avx512", "avx2" or "portable".
  const char* name;
  /// Writes the outputs.
  void (*outputs)(const StackedOutputs& pass);
  /// Returns the sum of the rows' cross-entropies and writes the gradient.
  double (*softmax)(const StackedSoftmax& pass);
  /// Reads the outputs, and leaves them as they are. The multiplier doesn't count.
  StackedScore (*score)(const StackedSoftmax& pass);
  /// Writes the gradients.
  void (*gradients)(const StackedGradients& pass);
  /// Changes the parameter. An entry has the same bits in any part of a parameter.
  void (*sgd_step)(const SgdStep& step);
};

/// The kernels that this machine can run, the best ones first; never empty. For tests and
/// measurements.
std::span<const StackedKernels* const> available_stacked();
/// The best kernels that this machine can run, always the same ones during a run of the program.
const StackedKernels& best_stacked();

}  // namespace levin::kernels
