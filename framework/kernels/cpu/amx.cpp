// The loops over rows of bytes on the matrix unit of x86 processors. cmake/Kernels.cmake sets this
// file's compiler options. Everything else is done as in avx512.cpp.
#define LEVIN_LANES 16
#include <levin/framework/kernels/cpu/byte_products.h>
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/scaling.h>
#include <levin/framework/kernels/cpu/softmax.h>

namespace levin::kernels {

extern const Kernels kAvx512;

namespace {

constexpr BlockSizes kBlocks = {.unit = kTileBytes, .most = kMostByteRows};

// The weights of a pass in tiles, and the numbers that are added to the products.
struct ByteWeights {
  const int8_t* tiles;
  const float* units;
  const float* bias;
  bool are_finite = true;

  ByteWeights(const float* weight, const float* own_bias, const ByteShape& shape, float shift,
              int64_t bias_size, Scratch& scratch) {
    const int64_t width = byte_width(shape.features);
    auto* to =
        reinterpret_cast<int8_t*>(scratch.take(shape.groups() * width * kColumnsOfGroup / 4));
    float* unit = scratch.take_filled(shape.groups() * kLanes, 0.0F);
    for (int64_t group = 0; group < shape.groups(); ++group) {
      are_finite =
          write_weight_tiles(weight + group * kClassesOfGroup * shape.features, shape.features,
                             shape.count_of(group), to + group * width * kColumnsOfGroup,
                             unit + group * kLanes) &&
          are_finite;
    }
    float* sums = scratch.take_filled(bias_size, kImpossible);
    write_bias(own_bias, weight, shape.classes, shape.features, shift, sums);
    tiles = to;
    units = unit;
    bias = sums;
  }
};

// Whether a pass is for these loops.
bool takes(const RowView& rows, int64_t outputs) {
  return has_bytes(rows) && has_byte_products(outputs, rows.row_size);
}

__attribute__((noinline)) bool run_pass(const SoftmaxRegression& pass, double& total) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const ByteShape shape = {pass.classes, rows.row_size, padded(pass.classes)};
  Scratch scratch(pass.scratch);
  float* logits = scratch.take_filled(kMostByteRows * shape.stride, 0.0F);
  const ByteWeights weights(pass.weight, pass.bias, shape, scaling.shift, shape.stride, scratch);
  if (!weights.are_finite) return false;
  const Loss loss = {scaling.scale, pass.multiplier, weights.bias,
                     scratch.take_filled(shape.stride, 0.0F)};
  const ByteRoom room(shape, scratch);
  const Tiles tiles;
  for_blocks<uint8_t>(
      rows, kBlocks, rows.row_size, nullptr,
      [&](const uint8_t* const* x, int64_t first, int64_t count, Ahead& ahead) {
        set_byte_logits(x, count, weights.tiles, weights.units, shape, room, logits);
        total += softmax_rows(logits, pass.labels + first, count, shape.stride, loss);
        add_byte_gradient(x, count, logits, 1.0F, shape, room, ahead, pass.weight_gradient);
      });
  shift_gradient(pass.weight_gradient, shape.classes, shape.features, scaling.shift,
                 loss.bias_gradient);
  if (pass.bias_gradient != nullptr) add(loss.bias_gradient, pass.classes, pass.bias_gradient);
  return true;
}

__attribute__((noinline)) bool run_pass(const LinearOutput& pass) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const ByteShape shape = {pass.outputs, rows.row_size, pass.stride};
  Scratch scratch(pass.scratch);
  const ByteWeights weights(pass.weight, pass.bias, shape, scaling.shift, shape.classes, scratch);
  if (!weights.are_finite) return false;
  const ByteRoom room(shape, scratch);
  const Tiles tiles;
  for_blocks<uint8_t>(rows, kBlocks, rows.row_size, nullptr,
                      [&](const uint8_t* const* x, int64_t first, int64_t count, Ahead&) {
                        float* out = pass.out + first * pass.stride;
                        set_byte_logits(x, count, weights.tiles, weights.units, shape, room, out);
                        scale_and_add(weights.bias, pass.outputs, count, pass.stride, scaling.scale,
                                      out);
                      });
  return true;
}

__attribute__((noinline)) void run_pass(const LinearGradient& pass) {
  const RowView& rows = pass.rows;
  const Scaling scaling(rows);
  const ByteShape shape = {pass.outputs, rows.row_size, pass.stride};
  Scratch scratch(pass.scratch);
  float* sums = scratch.take_filled(pass.outputs, 0.0F);
  const ByteRoom room(shape, scratch);
  const Tiles tiles;
  for_blocks<uint8_t>(rows, kBlocks, rows.row_size, nullptr,
                      [&](const uint8_t* const* x, int64_t first, int64_t count, Ahead& ahead) {
                        const float* g = pass.gradient + first * pass.stride;
                        for (int64_t r = 0; r < count; ++r)
                          add(g + r * pass.stride, pass.outputs, sums);
                        add_byte_gradient(x, count, g, scaling.scale, shape, room, ahead,
                                          pass.weight_gradient);
                      });
  shift_gradient(pass.weight_gradient, shape.classes, shape.features, scaling.shift, sums);
  if (pass.bias_gradient != nullptr) add(sums, pass.outputs, pass.bias_gradient);
}

// --- the kernels ---

// Each calls a function that isn't inlined, because of DenormalsAreZero. Weights that are infinite
// or NaN have no digits.
double softmax_regression(const SoftmaxRegression& pass) {
  if (takes(pass.rows, pass.classes)) {
    const DenormalsAreZero scope;
    double total = 0.0;
    if (run_pass(pass, total)) return total;
  }
  return kAvx512.softmax_regression(pass);
}
void linear_output(const LinearOutput& pass) {
  if (takes(pass.rows, pass.outputs)) {
    const DenormalsAreZero scope;
    if (run_pass(pass)) return;
  }
  kAvx512.linear_output(pass);
}
void linear_gradient(const LinearGradient& pass) {
  if (!takes(pass.rows, pass.outputs)) return kAvx512.linear_gradient(pass);
  const DenormalsAreZero scope;
  run_pass(pass);
}
// Kernels that have no use for the matrix unit. kAvx512 may not have its values yet when kAmx gets
// its own, so that it is only read when one is called.
template <auto kMember, class... Arguments>
auto by_avx512(Arguments... arguments) {
  return (kAvx512.*kMember)(arguments...);
}

}  // namespace

extern const Kernels kAmx;
const Kernels kAmx = {"amx",
                      softmax_regression,
                      by_avx512<&Kernels::softmax_gradient>,
                      linear_output,
                      linear_gradient,
                      by_avx512<&Kernels::convert_bytes>,
                      by_avx512<&Kernels::adam_step>,
                      by_avx512<&Kernels::add>,
                      by_avx512<&Kernels::sparse_output>,
                      by_avx512<&Kernels::sparse_output_double>,
                      by_avx512<&Kernels::sparse_gradient>,
                      by_avx512<&Kernels::sparse_gradient_double>,
                      by_avx512<&Kernels::online_start>,
                      by_avx512<&Kernels::online_start_double>,
                      by_avx512<&Kernels::online_pass>,
                      by_avx512<&Kernels::online_pass_double>,
                      by_avx512<&Kernels::online_finish>,
                      by_avx512<&Kernels::online_finish_double>,
                      by_avx512<&Kernels::online_weights>,
                      by_avx512<&Kernels::online_weights_double>,
                      by_avx512<&Kernels::hogwild_pass>,
                      by_avx512<&Kernels::hogwild_pass_double>};

}  // namespace levin::kernels
