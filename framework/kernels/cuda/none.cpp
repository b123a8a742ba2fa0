// What there is instead of the CUDA kernels in a build without nvcc.
#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/optimizers.h>
#include <levin/framework/kernels/cuda/sparse.h>
#include <levin/framework/kernels/cuda/tiled_matmul.h>

namespace levin::kernels::cuda {
namespace {

[[noreturn]] void refuse() {
  throw Error("this build has no CUDA kernels: build it again on a machine that has nvcc");
}

}  // namespace

bool are_built() { return false; }
int64_t scratch_size(const SoftmaxRegression& /*pass*/) { refuse(); }
void softmax_regression(const SoftmaxRegression& /*pass*/, void* /*stream*/) { refuse(); }
void take_rows(const TakeRows& /*take*/, void* /*stream*/) { refuse(); }
void gather_rows(const RowView& /*rows*/, float* /*to*/, void* /*stream*/) { refuse(); }
void gather_rows_bf16(const RowView& /*rows*/, void* /*to*/, void* /*stream*/) { refuse(); }
void log_value(const LogValue& /*log*/, void* /*stream*/) { refuse(); }
void defer_log_value(const LogValue& /*log*/, void* /*stream*/) { refuse(); }
void log_deferred(void* /*stream*/) {}
void drop_deferred() {}
void tiled_matmul(const TiledMatmul& /*product*/, void* /*stream*/) { refuse(); }

void sparse_product(const SparseProduct& /*product*/, void* /*stream*/) { refuse(); }
void sparse_scatter(const SparseScatter& /*scatter*/, void* /*stream*/) { refuse(); }
void sparse_sums(const SparseSums& /*sums*/, void* /*stream*/) { refuse(); }
void sparse_regression(const SparseRegression& /*pass*/, void* /*stream*/) { refuse(); }
void sparse_step(const SparseStep& /*step*/, void* /*stream*/) { refuse(); }

void adam_step(const AdamStep& /*step*/, void* /*stream*/) { refuse(); }
void sgd_step(const SgdStep& /*step*/, void* /*stream*/) { refuse(); }

}  // namespace levin::kernels::cuda
