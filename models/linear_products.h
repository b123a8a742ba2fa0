#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <c10/util/FunctionRef.h>
#include <torch/types.h>

#include <levin/framework/data/rows.h>
#include <levin/framework/kernels/cpu/kernels.h>

namespace levin {

// The matrix products of a linear layer of dense float32 matrices on the CPU, without autograd,
// written into tensors that exist. Large ones are cut into parts for `share_out`
// (framework/threads/shared_work.h); the parts follow from the sizes alone, so that the results
// have the same bits for any number of threads. x is [rows, in], weight [out, in], bias [out] or
// undefined, gradient, that of the layer's output, [rows, out]. Nothing is checked.

/// Called for some rows of a result, from row `begin` to row `end` - 1, once they are written,
/// while they are in the cache of the thread.
using ForRows = c10::function_ref<void(int64_t begin, int64_t end)>;

/// Returns room for `size` floats, which is kept from call to call.
float* at_least(std::vector<float>& scratch, int64_t size);

/// Whether rows that are read in place are faster than the library's products of copies: the
/// weights [out, in] are few enough to stay in the cache.
bool reads_in_place(const torch::Tensor& weight);

/// Returns the rows as kernels read them, in place, for a layer with `weight` [out, in]; nothing if
/// they can't (`Rows::view`), if there is no row, or if a row hasn't `in` values.
std::optional<kernels::RowView> view_for(const torch::Tensor& weight, const Rows& rows);

/// Whether the products of a layer are large enough to be cut.
bool are_cut(int64_t rows, const torch::Tensor& weight);

/// out [rows, out] = x . weight^T + bias
void linear_output(
    torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight,
    const torch::Tensor& bias, ForRows then = [](int64_t, int64_t) {});

/// out [rows, in] = gradient . weight
void linear_input_gradient(
    torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& weight,
    ForRows then = [](int64_t, int64_t) {});

/// of_weight [out, in] = gradient^T . x, and of_bias [out] = the sums of gradient's columns. Leaves
/// out an undefined one.
void linear_parameter_gradients(torch::Tensor& of_weight, torch::Tensor& of_bias,
                                const torch::Tensor& gradient, const torch::Tensor& x);

/// The same for rows x that are read in place, for weights that `reads_in_place` is true for. The
/// row stride of `out` and `gradient` may be larger than their number of columns. `scratch` is kept
/// from call to call.
void linear_output(
    torch::Tensor& out, const kernels::RowView& x, const torch::Tensor& weight,
    const torch::Tensor& bias, std::vector<float>& scratch, ForRows then = [](int64_t, int64_t) {});
void linear_parameter_gradients(torch::Tensor& of_weight, torch::Tensor& of_bias,
                                const torch::Tensor& gradient, const kernels::RowView& x,
                                std::vector<float>& scratch);

}  // namespace levin
