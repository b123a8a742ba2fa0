#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <levin/framework/kernels/cpu/kernels.h>

/// The kernels that are worth writing by hand for NVIDIA GPUs, as plain functions. Each enqueues
/// its work on `stream`, a cudaStream_t of the current device, and returns without waiting for it.
/// All pointers are to memory of that device, unless said otherwise. No argument is checked, no
/// memory is allocated, and the same call gives the same bits. Nothing here includes LibTorch.
///
/// Each of them has a twin that runs anywhere and that its test compares it with: another kernel of
/// Levin's or operations of LibTorch's, as the function says.
namespace levin::kernels::cuda {

/// Whether this build has the kernels, that is, whether nvcc was there. If not, the other functions
/// throw.
bool are_built();

/// Like kernels::SoftmaxRegression, with pointers to the device, except that the gradients are
/// written instead of being added to. `rows.numbers` may be null. Twin:
/// Kernels::softmax_regression.
struct SoftmaxRegression {
  RowView rows;
  const int64_t* labels = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t classes = 0;
  float* weight_gradient = nullptr;
  float* bias_gradient = nullptr;
  /// [1]: the mean of the cross-entropies of the rows. The gradients are those of this mean.
  float* loss = nullptr;
  /// Room for `scratch_size(*this)` floats.
  float* scratch = nullptr;
};

/// The largest number of classes for which `softmax_regression` is meant; beyond it, matrix
/// products are faster.
constexpr int64_t kMostClasses = 64;
int64_t scratch_size(const SoftmaxRegression& pass);
void softmax_regression(const SoftmaxRegression& pass, void* stream);

/// A tensor of a data set, one word of 1, 4 or 8 bytes a row, and where the chosen words go.
struct Words {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t bytes = 8;
};

/// Takes the next `count` row numbers of an epoch: numbers[i] = order[*cursor + i], then *cursor +=
/// count; and gathers up to kMostWords tensors of one word a row: to[i] = from[numbers[i]]. Twin:
/// index_select.
constexpr size_t kMostWords = 4;
struct TakeRows {
  const int64_t* order = nullptr;
  int64_t* cursor = nullptr;
  int64_t count = 0;
  int64_t* numbers = nullptr;
  /// In the host's memory.
  std::span<const Words> words{};
};
void take_rows(const TakeRows& take, void* stream);

/// Copies rows into dense float32 memory, [count, row_size], converting bytes. `rows.numbers` may
/// be null. Twin: Rows::gather.
void gather_rows(const RowView& rows, float* to, void* stream);
/// The same into bfloat16 numbers, each rounded to the nearest. Bytes are copied as they are,
/// without their scale and zero point: all of them are exact in bfloat16. Twin: Tensor::to.
void gather_rows_bf16(const RowView& rows, void* to, void* stream);

/// Adds a logged value to its sums, as LoggedValues does: window = value * weight, epoch += value *
/// weight, in float64, without multiplying and adding in one rounding. Either sum may be null.
/// Twin: mul_out and add_.
struct LogValue {
  const float* value = nullptr;
  double weight = 0.0;
  double* window = nullptr;
  double* epoch = nullptr;
};
void log_value(const LogValue& log, void* stream);

/// The same, but later: by the next kernel of an optimizer that this thread starts on that stream,
/// or by `log_deferred`, whichever comes first. A small kernel less takes about a microsecond off a
/// step. The value must stay as it is until then.
void defer_log_value(const LogValue& log, void* stream);
void log_deferred(void* stream);
/// Forgets what was deferred, after an error.
void drop_deferred();

}  // namespace levin::kernels::cuda
