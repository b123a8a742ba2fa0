// The twins, on the CPU, of the kernels for sparse rows. The kernels themselves are held to the
// same in tests/models/sparse_cuda_test.cpp.
#include <gtest/gtest.h>

#include "framework/kernels/sparse_cuda_checks.h"

namespace levin::kernels::cuda::sparse_twins_test {

using sparse_checks::OnCpu;

void for_cases(void (*check)(const sparse_checks::Case&)) {
  for (const auto& c : sparse_checks::cases()) {
    SCOPED_TRACE(sparse_checks::name_of(c));
    check(c);
  }
}

TEST(SparseTwins, products_are_those_in_float64) { for_cases(sparse_checks::check_product<OnCpu>); }

TEST(SparseTwins, gradients_are_added_to) { for_cases(sparse_checks::check_scatter<OnCpu>); }

TEST(SparseTwins, sums_by_columns_are_those_in_float64_and_touch_no_other_place) {
  for_cases(sparse_checks::check_sums<OnCpu>);
}

TEST(SparseTwins, a_pass_gives_the_mean_loss_and_its_derivatives) {
  for_cases(sparse_checks::check_regression<OnCpu>);
}

TEST(SparseTwins, nan_passes_on) { sparse_checks::check_that_nan_passes<OnCpu>(); }

TEST(SparseTwins, steps_change_the_entries_of_the_gradient_alone) {
  for (const bool has_squares : {false, true}) {
    for (const bool has_rows : {false, true}) {
      OnCpu cpu;
      sparse_checks::step_by(cpu, has_squares, has_rows);
    }
  }
}

}  // namespace levin::kernels::cuda::sparse_twins_test
