#pragma once

// The loops themselves. Three files include this one (portable.cpp, avx2.cpp and avx512.cpp). Each
// is compiled for one kind of vector unit and sets LEVIN_LANES, the number of floats in a vector.
//
// Everything here is local to the including file, or always inlined, and nothing of the standard
// library is called. If an inline function with external linkage were compiled here, the linker
// might keep this copy of it for the whole program, which would then fail on machines that lack the
// vector unit.
#include <levin/framework/kernels/cpu/adam.h>
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/hogwild_loops.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/layout.h>
#include <levin/framework/kernels/cpu/online_loops.h>
#include <levin/framework/kernels/cpu/rows.h>
#include <levin/framework/kernels/cpu/scaling.h>
#include <levin/framework/kernels/cpu/softmax.h>
#include <levin/framework/kernels/cpu/sparse_products.h>
#include <levin/framework/kernels/cpu/tiles.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// --- small loops ---

void convert_row(const uint8_t* bytes, int64_t count, float scale, float zero_point, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = (static_cast<float>(bytes[i]) - zero_point) * scale;
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

// --- linear layers of rows ---

// The width of rows that tiles take: that of the view, if these are whole vectors.
inline int64_t width_of(const RowView& rows) {
  return rows.row_size % kLanes == 0 ? rows.row_size : padded(rows.row_size);
}

// The sizes of the blocks of rows that tiles take.
inline BlockSizes blocks_of(const RowView& rows) {
  return {kRowsFetchedAtOnce, rows_a_block(padded(rows.row_size))};
}

// Room for the copies that for_blocks makes, if it makes any.
inline float* room_for_rows(const RowView& rows, int64_t width, Scratch& scratch) {
  return width == rows.row_size ? nullptr : scratch.take(rows_a_block(width) * width);
}

// The gradient of weights [outputs, features], as tiles add to it: in a matrix of whole vectors.
class WeightGradient {
 public:
  WeightGradient(float* gradient, int64_t outputs, int64_t features, int64_t width,
                 Scratch& scratch)
      : given_(gradient), outputs_(outputs), features_(features), width_(width), own_(gradient) {
    if (width == features) return;
    own_ = scratch.take(outputs * width);
    copy_matrix(given_, features_, own_, width_, outputs_);
  }
  float* matrix() const { return own_; }
  // To be called at the end. `sums`: the sums of the gradient of the outputs over the rows.
  void finish(float shift, const float* sums) {
    if (own_ != given_) copy_matrix(own_, width_, given_, features_, outputs_);
    shift_gradient(given_, outputs_, features_, shift, sums);
  }

 private:
  float* given_;
  int64_t outputs_;
  int64_t features_;
  int64_t width_;
  float* own_;
};

// Softmax doesn't change if a number is added to all logits of a row, and its gradient's sum over
// the classes is 0. So the last class's logit is made 0 by subtracting its weights from those of
// the others, and its gradient is what is missing to 0: of C classes, C - 1 are multiplied. That
// pays if there are several rows for each class.
class LastClass {
 public:
  explicit LastClass(const SoftmaxRegression& pass)
      : is_left_out_(pass.rows.count >= 4 * pass.classes), last_(pass.classes - 1) {}
  int64_t multiplied() const { return is_left_out_ ? last_ : last_ + 1; }
  const float* base(const float* weight, int64_t columns) const {
    return is_left_out_ ? weight + last_ * columns : nullptr;
  }
  void subtract(float* bias) const {
    for (int64_t c = 0; is_left_out_ && c <= last_; ++c) {
      bias[c] = c < last_ ? bias[c] - bias[last_] : 0.0F;
    }
  }
  void clear(float* logits, int64_t rows, int64_t stride) const {
    for (int64_t r = 0; is_left_out_ && r < rows; ++r) logits[r * stride + last_] = 0.0F;
  }
  // To be called before the pass with 1 and after it with -1. Adds the sum of the other classes'
  // gradient, so that what the pass adds to them is subtracted from that of the last class.
  void add_others(float factor, float* gradient, int64_t width) const {
    if (!is_left_out_) return;
    float* to = gradient + last_ * width;
    for (int64_t i = 0; i < width; i += kLanes) {
      Vector sum = {};
      for (int64_t c = 0; c < last_; ++c) sum += load(gradient + c * width + i);
      store(to + i, load(to + i) + sum * factor);
    }
  }

 private:
  bool is_left_out_;
  int64_t last_;
};

__attribute__((noinline)) double run_pass(const SoftmaxRegression& pass) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const LastClass last(pass);
  const Shape shape = {last.multiplied(), width_of(rows), padded(pass.classes)};
  Scratch scratch(pass.scratch);
  float* logits = scratch.take_filled(blocks_of(rows).most * shape.logits_stride, 0.0F);
  float* bias = scratch.take_filled(shape.logits_stride, kImpossible);
  write_bias(pass.bias, pass.weight, pass.classes, rows.row_size, scaling.shift, bias);
  last.subtract(bias);
  const Loss loss = {scaling.scale, pass.multiplier, bias,
                     scratch.take_filled(shape.logits_stride, 0.0F)};
  float* room = room_for_rows(rows, shape.width, scratch);
  float* packed = scratch.take(shape.classes * shape.width);
  WeightGradient gradient(pass.weight_gradient, pass.classes, rows.row_size, shape.width, scratch);
  last.add_others(1.0F, gradient.matrix(), shape.width);
  double total = 0.0;
  with_values_of(rows, [&]<class Value>() {
    pack<Value>(pass.weight, last.base(pass.weight, rows.row_size), rows.row_size, shape, packed);
    for_blocks<Value>(rows, blocks_of(rows), shape.width, room,
                      [&](const Value* const* x, int64_t first, int64_t count, Ahead& ahead) {
                        last.clear(logits, count, shape.logits_stride);
                        set_logits(x, count, packed, shape, ahead, logits);
                        total += softmax_rows(logits, pass.labels + first, count,
                                              shape.logits_stride, loss);
                        add_gradient(x, count, logits, shape, ahead, gradient.matrix());
                      });
  });
  last.add_others(-1.0F, gradient.matrix(), shape.width);
  gradient.finish(scaling.shift, loss.bias_gradient);
  if (pass.bias_gradient != nullptr) add(loss.bias_gradient, pass.classes, pass.bias_gradient);
  return total;
}

__attribute__((noinline)) double run_pass(const SoftmaxGradient& pass) {
  Scratch scratch(pass.scratch);
  float* bias = scratch.take_filled(pass.stride, kImpossible);
  for (int64_t c = 0; c < pass.classes; ++c) bias[c] = 0.0F;
  const Loss loss = {1.0F, pass.multiplier, bias, scratch.take_filled(pass.stride, 0.0F)};
  const double total = softmax_rows(pass.logits, pass.labels, pass.count, pass.stride, loss);
  if (total == total) return total;
  // NaN has also reached the columns behind the logits, which the next call may read.
  for (int64_t r = 0; r < pass.count; ++r) {
    for (int64_t c = pass.classes; c < pass.stride; ++c) pass.logits[r * pass.stride + c] = 0.0F;
  }
  return total;
}

__attribute__((noinline)) void run_pass(const LinearOutput& pass) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const Shape shape = {pass.outputs, width_of(rows), pass.stride};
  Scratch scratch(pass.scratch);
  float* bias = scratch.take(pass.outputs);
  write_bias(pass.bias, pass.weight, pass.outputs, rows.row_size, scaling.shift, bias);
  float* room = room_for_rows(rows, shape.width, scratch);
  float* packed = scratch.take(shape.classes * shape.width);
  with_values_of(rows, [&]<class Value>() {
    pack<Value>(pass.weight, nullptr, rows.row_size, shape, packed);
    for_blocks<Value>(rows, blocks_of(rows), shape.width, room,
                      [&](const Value* const* x, int64_t first, int64_t count, Ahead& ahead) {
                        float* out = pass.out + first * pass.stride;
                        set_logits(x, count, packed, shape, ahead, out);
                        scale_and_add(bias, pass.outputs, count, pass.stride, scaling.scale, out);
                      });
  });
}

__attribute__((noinline)) void run_pass(const LinearGradient& pass) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const Shape shape = {pass.outputs, width_of(rows), pass.outputs};
  Scratch scratch(pass.scratch);
  float* scaled = scratch.take(blocks_of(rows).most * pass.outputs);
  float* sums = scratch.take_filled(pass.outputs, 0.0F);
  float* room = room_for_rows(rows, shape.width, scratch);
  WeightGradient gradient(pass.weight_gradient, pass.outputs, rows.row_size, shape.width, scratch);
  with_values_of(rows, [&]<class Value>() {
    for_blocks<Value>(rows, blocks_of(rows), shape.width, room,
                      [&](const Value* const* x, int64_t first, int64_t count, Ahead& ahead) {
                        const float* from = pass.gradient + first * pass.stride;
                        float* to = scaled;
                        for (int64_t r = 0; r < count; ++r, from += pass.stride) {
                          add(from, pass.outputs, sums);
                          for (int64_t k = 0; k < pass.outputs; ++k)
                            *to++ = from[k] * scaling.scale;
                        }
                        add_gradient(x, count, scaled, shape, ahead, gradient.matrix());
                      });
  });
  gradient.finish(scaling.shift, sums);
  if (pass.bias_gradient != nullptr) add(sums, pass.outputs, pass.bias_gradient);
}

// --- the kernels ---

// Each calls a function that isn't inlined, because of DenormalsAreZero.
double softmax_regression(const SoftmaxRegression& pass) {
  const DenormalsAreZero scope;
  return run_pass(pass);
}
double softmax_gradient(const SoftmaxGradient& pass) {
  const DenormalsAreZero scope;
  return run_pass(pass);
}
void linear_output(const LinearOutput& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}
void linear_gradient(const LinearGradient& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}

}  // namespace
}  // namespace levin::kernels

// The members of a Kernels behind its name.
#define LEVIN_KERNELS                                                                           \
  softmax_regression, softmax_gradient, linear_output, linear_gradient, convert_row, adam_step, \
      add, sparse_output, sparse_output, sparse_gradient, sparse_gradient, online_start,        \
      online_start, online_pass, online_pass, online_finish, online_finish, online_weights,     \
      online_weights, hogwild_pass, hogwild_pass
