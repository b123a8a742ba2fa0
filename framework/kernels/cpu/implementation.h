#pragma once

// The loops themselves. Three files include this one (portable.cpp, avx2.cpp and avx512.cpp). Each
// is compiled for one kind of vector unit and sets LEVIN_LANES, the number of floats in a vector.
//
// Everything here is local to the including file, and nothing of the standard library is called. If
// an inline function with external linkage were compiled here, the linker might keep this copy of
// it for the whole program, which would then fail on machines that lack the vector unit.
//
// softmax_regression goes through the rows in blocks, so that a block is still in the cache when
// its gradient is computed: take_rows, then run_block.
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/layout.h>
#include <levin/framework/kernels/cpu/tiles.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// --- loss ---

constexpr float kImpossible = -1e30F;  // the bias of logits that only fill up the last vector

// What is made of the products x . weight: the logits are scale * z + bias, and the gradient of the
// loss with respect to z is scale * multiplier * (softmax - one hot). All vectors are of
// shape.logits_stride floats.
struct Loss {
  float scale;
  float multiplier;
  const float* bias;
  float* bias_gradient;
};

// Turns the products of a row into the gradient, and adds the gradient of the bias. The row's
// cross-entropy is log(sum) + rest; returns `rest`.
inline float softmax_row(float* z, int64_t label, const Shape& shape, const Loss& loss,
                         float& sum) {
  const float of_label = z[label] * loss.scale + loss.bias[label];
  const auto logits = [&](int64_t i) { return load(z + i) * loss.scale + load(loss.bias + i); };
  Vector largest = logits(0);
  for (int64_t i = kLanes; i < shape.logits_stride; i += kLanes) {
    largest = Larger()(largest, logits(i));
  }
  const Vector most = all(largest_of(largest));
  Vector total = {};
  for (int64_t i = 0; i < shape.logits_stride; i += kLanes) {
    const Vector e = exponential(logits(i) - most);
    store(z + i, e);
    total += e;
  }
  sum = sum_of(total);
  const Vector factor = all(loss.multiplier / sum);
  for (int64_t i = 0; i < shape.logits_stride; i += kLanes) {
    const Vector gradient = load(z + i) * factor - at_lane(label - i, loss.multiplier);
    store(z + i, gradient * loss.scale);
    store(loss.bias_gradient + i, load(loss.bias_gradient + i) + gradient);
  }
  return most[0] - of_label;
}

// Returns the sum of `count` numbers.
inline float sum_of(const float* numbers, int64_t count) {
  float sums[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) sums[i % kLanes] += numbers[i];
  return sum_of(load(sums));
}

// --- rows ---

inline void convert_row(const uint8_t* bytes, int64_t count, float scale, float zero_point,
                        float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = (static_cast<float>(bytes[i]) - zero_point) * scale;
}

// The rows that are worked on together, at most kMostRows.
constexpr int kMostRows = 64;
template <class Value>
struct Block {
  const Value* rows[kMostRows];
  float* padded;  // [kMostRows, width], or null if rows are read in place
  float* logits;  // [kMostRows, logits_stride]
};

// Points block.rows at `count` rows of the view, from row `first` on. If block.padded is set, these
// are copies that zeros fill up to `width` values; else the rows themselves.
template <class Value>
void take_rows(const RowsInMemory& rows, int64_t first, int64_t count, int64_t width,
               Block<Value>& block) {
  for (int64_t r = 0; r < count; ++r) {
    const auto* row = reinterpret_cast<const Value*>(rows.row(first + r));
    block.rows[r] = row;
    if (block.padded == nullptr) continue;
    auto* copy = reinterpret_cast<Value*>(block.padded + r * width);
    for (int64_t i = 0; i < rows.view.row_size; ++i) copy[i] = row[i];
    for (int64_t i = rows.view.row_size; i < width; ++i) copy[i] = 0;
    block.rows[r] = copy;
  }
}

// Returns the cross-entropy of `count` rows, and turns their products into gradients. `labels` are
// those of the rows.
double softmax_rows(float* z, const int64_t* labels, int64_t count, const Shape& shape,
                    const Loss& loss) {
  // log a + log b = log(a b). A sum is at most the number of classes, so that the product of a few
  // of them is far from overflowing.
  constexpr int64_t kSumsALogarithm = 16;
  double total = 0.0;
  for (int64_t first = 0; first < count; first += kSumsALogarithm) {
    const int64_t end = first + kSumsALogarithm < count ? first + kSumsALogarithm : count;
    double product = 1.0;
    for (int64_t r = first; r < end; ++r) {
      float sum;
      const float rest = softmax_row(z + r * shape.logits_stride, labels[r], shape, loss, sum);
      product *= static_cast<double>(sum);
      total += static_cast<double>(rest);
    }
    total += __builtin_log(product);
  }
  return total;
}

// Goes through all rows, whose values are of type Value. `gradient` is [classes, width]; there is
// room for as much at `packed`. Returns the sum of the rows' losses.
//
// The first block is small, because its rows have to be waited for. All others are fetched into the
// cache meanwhile, as far as memory is fast enough.
template <class Value>
double run_blocks(const SoftmaxRegression& pass, const Shape& shape, float* packed, float* gradient,
                  const Loss& loss, Block<Value>& block) {
  constexpr int64_t kFirstBlock = 8;
  const int64_t rows = pass.rows.count;
  const int64_t block_size = rows_a_block(padded(pass.rows.row_size));
  const RowsInMemory in_memory(pass.rows);
  Ahead ahead(in_memory);
  ahead.allow(rows < kFirstBlock ? rows : kFirstBlock);
  ahead.fetch_all();
  pack<Value>(pass.weight, pass.rows.row_size, shape, packed);
  double total = 0.0;
  for (int64_t first = 0, count; first < rows; first += count) {
    const int64_t left = rows - first;
    const int64_t wanted = first == 0 ? kFirstBlock : block_size;
    count = left < wanted ? left : wanted;
    const int64_t after = left - count;
    ahead.allow(first + count + (after < block_size ? after : block_size));
    take_rows(in_memory, first, count, shape.width, block);
    set_logits(block.rows, count, packed, shape, ahead, block.logits);
    total += softmax_rows(block.logits, pass.labels + first, count, shape, loss);
    add_gradient(block.rows, count, block.logits, shape, ahead, gradient);
  }
  return total;
}

// Copies a matrix of `rows` rows into one with another width: columns are left out, or filled with
// zeros.
void copy_matrix(const float* from, int64_t from_width, float* to, int64_t to_width, int64_t rows) {
  const int64_t shared = from_width < to_width ? from_width : to_width;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < shared; ++i) to[r * to_width + i] = from[r * from_width + i];
    for (int64_t i = shared; i < to_width; ++i) to[r * to_width + i] = 0.0F;
  }
}

// Hands out parts of the scratch memory, each of whole cache lines.
class Scratch {
 public:
  explicit Scratch(float* memory) {
    const auto address = reinterpret_cast<uintptr_t>(memory);
    next_ = memory + (kCacheLine - address % kCacheLine) % kCacheLine / sizeof(float);
  }
  float* take(int64_t floats) {
    float* taken = next_;
    next_ += padded(floats);
    return taken;
  }
  float* take_filled(int64_t floats, float value) {
    float* taken = take(floats);
    for (int64_t i = 0; i < floats; ++i) taken[i] = value;
    return taken;
  }

 private:
  float* next_;
};

// The pass itself. If the rows aren't whole vectors, the gradient is copied into a padded matrix
// first, and copied back at the end.
//
// Bytes are worked on as they are. With x = (byte - zero_point) * scale,
//   x . w = scale * (byte . w - zero_point * sum(w)),
// and the same holds for the gradient, with the gradient of the bias in place of the sums.
__attribute__((noinline)) double run_pass(const SoftmaxRegression& pass) {
  const int64_t features = pass.rows.row_size;
  const bool is_whole = features % kLanes == 0;
  const bool has_bytes = pass.rows.type == RowView::Type::scaled_bytes;
  const float scale = has_bytes ? pass.rows.scale : 1.0F;
  const float shift = has_bytes ? scale * pass.rows.zero_point : 0.0F;
  const Shape shape = {pass.classes, is_whole ? features : padded(features), padded(pass.classes)};
  const int64_t block_size = rows_a_block(padded(features));
  Scratch scratch(pass.scratch);
  float* logits = scratch.take_filled(block_size * shape.logits_stride, 0.0F);
  float* bias = scratch.take_filled(shape.logits_stride, kImpossible);
  for (int64_t c = 0; c < shape.classes; ++c) {
    bias[c] = pass.bias != nullptr ? pass.bias[c] : 0.0F;
    if (shift != 0.0F) bias[c] -= shift * sum_of(pass.weight + c * features, features);
  }
  const Loss loss = {scale, pass.multiplier, bias, scratch.take_filled(shape.logits_stride, 0.0F)};
  float* padded_rows = is_whole ? nullptr : scratch.take(block_size * shape.width);
  float* packed = scratch.take(shape.classes * shape.width);
  float* gradient = pass.weight_gradient;
  if (!is_whole) {
    gradient = scratch.take(shape.classes * shape.width);
    copy_matrix(pass.weight_gradient, features, gradient, shape.width, shape.classes);
  }
  double total;
  if (has_bytes) {
    Block<uint8_t> block = {{}, padded_rows, logits};
    total = run_blocks(pass, shape, packed, gradient, loss, block);
  } else {
    Block<float> block = {{}, padded_rows, logits};
    total = run_blocks(pass, shape, packed, gradient, loss, block);
  }
  if (!is_whole) {
    copy_matrix(gradient, shape.width, pass.weight_gradient, features, shape.classes);
  }
  for (int64_t c = 0; c < shape.classes; ++c) {
    if (pass.bias_gradient != nullptr) pass.bias_gradient[c] += loss.bias_gradient[c];
    if (shift == 0.0F) continue;
    float* own = pass.weight_gradient + c * features;
    for (int64_t i = 0; i < features; ++i) own[i] -= shift * loss.bias_gradient[c];
  }
  return total;
}

// Kernels::softmax_regression.
double softmax_regression(const SoftmaxRegression& pass) {
  const DenormalsAreZero scope;
  return run_pass(pass);
}

__attribute__((noinline)) double run_softmax(const SoftmaxGradient& pass) {
  const Shape shape = {pass.classes, 0, pass.stride};
  Scratch scratch(pass.scratch);
  float* bias = scratch.take_filled(pass.stride, kImpossible);
  for (int64_t c = 0; c < pass.classes; ++c) bias[c] = 0.0F;
  const Loss loss = {1.0F, pass.multiplier, bias, scratch.take_filled(pass.stride, 0.0F)};
  return softmax_rows(pass.logits, pass.labels, pass.count, shape, loss);
}

// Kernels::softmax_gradient.
double softmax_gradient(const SoftmaxGradient& pass) {
  const DenormalsAreZero scope;
  return run_softmax(pass);
}

}  // namespace
}  // namespace levin::kernels
