#pragma once

#include <string>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Returns a warning if the columns of `input`, [rows, features], differ so much in scale that
/// gradients of one learning rate can't serve them all: the largest absolute value in one column is
/// more than a thousand times that in another. Empty if not, and for an input of another number of
/// dimensions or of integers, such as pixels or the numbers of words. Columns of zeros, and columns
/// with values that aren't finite, are passed over. Waits for the device.
///
///     uneven_scales(torch::tensor({{1e6, 0.1}, {2e6, 0.3}}));      // "... column 0 ... column 1
///     ..."
std::string uneven_scales(const torch::Tensor& input);

}  // namespace levin
