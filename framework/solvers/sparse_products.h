#pragma once

#include <cstdint>
#include <memory>

#include <levin/framework/solvers/row_products.h>

namespace levin {

/// The products of sparse rows (`Rows::is_sparse`), by the kernels for these: their cost follows
/// from the number of entries.
std::unique_ptr<RowProducts> make_sparse_products(int64_t features, int64_t outputs, bool precise);

}  // namespace levin
