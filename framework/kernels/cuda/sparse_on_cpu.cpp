#include <levin/framework/kernels/cuda/sparse.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

// What the kernels for sparse rows do, with loops in the place of threads.
namespace levin::kernels::cuda {
namespace {

float value_of_entry(const SparseView& rows, int64_t entry) {
  return rows.values == nullptr ? 1.0F : rows.values[entry];
}

/// The product of a row with the weights of an output: a sum for each thread that shares the row,
/// and the sums added up as by the shuffles of a warp.
float product_of_row(const SparseView& rows, int64_t row, const float* weight, int64_t lanes) {
  std::array<float, kWarpSize> sums = {};
  for (int64_t entry = rows.offsets[row]; entry < rows.offsets[row + 1]; ++entry) {
    float& sum = sums[static_cast<size_t>((entry - rows.offsets[row]) % lanes)];
    sum = std::fma(value_of_entry(rows, entry), weight[rows.indices[entry]], sum);
  }
  for (auto half = static_cast<size_t>(lanes / 2); half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

/// The loss of a row; its outputs become the derivatives.
float class_loss_of_row(float* outputs, int64_t count, int64_t label) {
  if (count == 1) {
    const float z = outputs[0];
    const float small = std::exp(-std::fabs(z));
    outputs[0] =
        (z >= 0.0F ? 1.0F / (1.0F + small) : small / (1.0F + small)) - static_cast<float>(label);
    return std::max(z, 0.0F) + std::log1p(small) - static_cast<float>(label) * z;
  }
  const float largest = *std::max_element(outputs, outputs + count);
  const float of_label = outputs[label];
  float total = 0.0F;
  for (int64_t c = 0; c < count; ++c) total += std::exp(outputs[c] - largest);
  for (int64_t c = 0; c < count; ++c) {
    const float share = std::exp(outputs[c] - largest) / total;
    outputs[c] = c == label ? share - 1.0F : share;
  }
  return std::log(total) + (largest - of_label);
}

/// The sums of a tile of entries, as a warp has them behind its last step: at each entry, that of
/// the entries of its place from the tile's begin on.
std::array<float, kEntriesOfTile> sums_within_tile(const SparseSums& sums,
                                                   const std::vector<int64_t>& row_of,
                                                   int64_t begin, int64_t output) {
  std::array<float, kEntriesOfTile> found = {};
  const int64_t end = std::min(begin + kEntriesOfTile, sums.entries);
  for (int64_t first = begin; first < end; first += kWarpSize) {
    float* const own = found.data() + (first - begin);
    const int64_t lanes = std::min(kWarpSize, end - first);
    const int32_t* const places = sums.places + first;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t entry = sums.order[first + lane];
      own[lane] = value_of_entry(sums.rows, entry) *
                  sums.derivatives[row_of[static_cast<size_t>(entry)] * sums.outputs + output];
    }
    for (int64_t offset = 1; offset < kWarpSize; offset *= 2) {
      for (int64_t lane = lanes - 1; lane >= offset; --lane) {
        if (places[lane] == places[lane - offset]) own[lane] += own[lane - offset];
      }
    }
    if (first == begin) continue;
    for (int64_t lane = 0; lane < lanes && places[lane] == places[-1]; ++lane) {
      own[lane] += own[-1];
    }
  }
  return found;
}

void sum_output(const SparseSums& sums, const std::vector<int64_t>& row_of, int64_t output) {
  float* const to = sums.sums + output * sums.width;
  float open = 0.0F;  // the sum of the place that goes on from the tile before
  for (int64_t begin = 0; begin < sums.entries; begin += kEntriesOfTile) {
    const int64_t end = std::min(begin + kEntriesOfTile, sums.entries);
    const auto found = sums_within_tile(sums, row_of, begin, output);
    for (int64_t at = begin; at < end; ++at) {
      const bool goes_on = at + 1 < sums.entries && sums.places[at + 1] == sums.places[at];
      if (goes_on && at + 1 < end) continue;
      float sum = found[static_cast<size_t>(at - begin)];
      if (begin > 0 && sums.places[at] == sums.places[begin - 1]) sum = open + sum;
      if (goes_on) {
        open = sum;
      } else {
        to[sums.places[at]] = sum;
      }
    }
  }
}

}  // namespace

void sparse_product_on_cpu(const SparseProduct& product) {
  const int64_t lanes = lanes_of_row(product.entries, product.rows.count);
  for (int64_t row = 0; row < product.rows.count; ++row) {
    for (int64_t output = 0; output < product.outputs; ++output) {
      const float* const weight = product.weight + output * product.rows.row_size;
      const float sum = product_of_row(product.rows, row, weight, lanes);
      product.out[row * product.outputs + output] =
          product.bias == nullptr ? sum : sum + product.bias[output];
    }
  }
}

void sparse_scatter_on_cpu(const SparseScatter& scatter) {
  const auto& rows = scatter.rows;
  for (int64_t row = 0; row < rows.count; ++row) {
    const float* const derivatives = scatter.derivatives + row * scatter.outputs;
    for (int64_t entry = rows.offsets[row]; entry < rows.offsets[row + 1]; ++entry) {
      for (int64_t output = 0; output < scatter.outputs; ++output) {
        scatter.weight_gradient[output * rows.row_size + rows.indices[entry]] +=
            value_of_entry(rows, entry) * derivatives[output];
      }
    }
  }
}

void sparse_sums_on_cpu(const SparseSums& sums) {
  std::vector<int64_t> row_of(static_cast<size_t>(sums.entries));
  for (int64_t row = 0; row < sums.rows.count; ++row) {
    for (int64_t entry = sums.rows.offsets[row]; entry < sums.rows.offsets[row + 1]; ++entry) {
      row_of[static_cast<size_t>(entry)] = row;
    }
  }
  for (int64_t output = 0; output < sums.outputs; ++output) sum_output(sums, row_of, output);
}

void sparse_regression_on_cpu(const SparseRegression& pass) {
  const int64_t count = pass.rows.count;
  sparse_product_on_cpu({.rows = pass.rows,
                         .entries = pass.entries,
                         .weight = pass.weight,
                         .bias = pass.bias,
                         .outputs = pass.outputs,
                         .out = pass.derivatives});
  const auto multiplier = static_cast<float>(1.0 / static_cast<double>(count));
  double loss = 0.0;
  std::vector<double> sums(static_cast<size_t>(pass.outputs));
  for (int64_t row = 0; row < count; ++row) {
    float* const own = pass.derivatives + row * pass.outputs;
    loss += static_cast<double>(class_loss_of_row(own, pass.outputs, pass.labels[row]));
    for (int64_t output = 0; output < pass.outputs; ++output) {
      own[output] *= multiplier;
      sums[static_cast<size_t>(output)] += static_cast<double>(own[output]);
    }
  }
  *pass.loss = static_cast<float>(loss / static_cast<double>(count));
  for (int64_t output = 0; pass.bias_gradient != nullptr && output < pass.outputs; ++output) {
    pass.bias_gradient[output] = static_cast<float>(sums[static_cast<size_t>(output)]);
  }
  if (pass.weight_gradient == nullptr) return;
  sparse_scatter_on_cpu({.rows = pass.rows,
                         .entries = pass.entries,
                         .derivatives = pass.derivatives,
                         .outputs = pass.outputs,
                         .weight_gradient = pass.weight_gradient});
}

void sparse_step_on_cpu(const SparseStep& step) {
  const auto rate = static_cast<float>(step.rate);
  const auto eps = static_cast<float>(step.eps);
  for (int64_t i = 0; i < step.count; ++i) {
    const int64_t row = step.rows == nullptr ? 0 : step.rows[i];
    const int64_t place = row * step.row_size + step.columns[i];
    const float number = step.gradient[i];
    if (step.squares == nullptr) {
      step.parameter[place] += -rate * number;
      continue;
    }
    step.squares[place] = std::fma(number, number, step.squares[place]);
    const float direction = number / (std::sqrt(step.squares[place]) + eps);
    step.parameter[place] = std::fma(-rate, direction, step.parameter[place]);
  }
}

}  // namespace levin::kernels::cuda
