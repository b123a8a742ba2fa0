#pragma once

#include <string>

#include <levin/framework/data/rows.h>

namespace levin {

/// Returns a warning if the columns of `input`, [rows, features], differ so much in scale that
/// gradients of one learning rate can't serve them all: the largest absolute value in one column is
/// more than a thousand times that in another. Empty if not, and for an input of another number of
/// dimensions or of integers, such as pixels or the numbers of words. Columns of zeros, and columns
/// with values that aren't finite, are passed over. Of sparse rows, only the stored values count.
///
/// Looks at no more than 256 rows. They are read where they lie; only those of types other than
/// float32 are copied first. Waits for the device that they are on.
///
///     uneven_scales(torch::tensor({{1e6, 0.1}, {2e6, 0.3}}));  // "... column 0 ... column 1 ..."
std::string uneven_scales(const Rows& input);

}  // namespace levin
