#include <levin/framework/solvers/row_source.h>

#include <ATen/ops/arange.h>

namespace levin {

torch::Tensor RowSource::row_numbers(int64_t rows) const { return at::arange(rows, at::kLong); }

}  // namespace levin
