#include <levin/framework/threads/one_thread.h>

#include <ATen/Parallel.h>

// Functions of OpenMP and MKL that act on the calling thread alone. They are null if LibTorch was
// built without the library.
extern "C" {
void omp_set_num_threads(int) __attribute__((weak));
int MKL_Set_Num_Threads_Local(int) __attribute__((weak));
}

namespace levin {
namespace {

// Returns the number that was in force; 0 if the thread had none of its own.
int set_mkl_threads(int threads) {
  return MKL_Set_Num_Threads_Local != nullptr ? MKL_Set_Num_Threads_Local(threads) : 0;
}

}  // namespace

OneThread::OneThread() : before_(at::get_num_threads()), mkl_before_(set_mkl_threads(1)) {
  if (before_ != 1 && omp_set_num_threads != nullptr) omp_set_num_threads(1);
}

OneThread::~OneThread() {
  if (before_ != 1 && omp_set_num_threads != nullptr) omp_set_num_threads(before_);
  set_mkl_threads(mkl_before_);
}

}  // namespace levin
