#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

// Sums of float64 numbers that are never rounded while numbers are added, so that a sum doesn't
// depend on the order of its numbers, nor on the batches and ranks that they come from:
//
//     auto sums = exact_sums(2, losses.device());
//     add_exactly(sums, at::stack({losses, losses.square()}, 1));      // for each batch
//     sums.add_(sums_of_another_rank);                                 // which is exact, too
//     const auto rounded = rounded_sums(sums);                         // the nearest doubles
//
// A sum is a row of kExactWords whole numbers. The first 67 are digits of 32 bits with which every
// float64 can be written: the value is the sum of word[i] * 2^(32 i - 1074). Words may be negative
// or have more than 32 bits, so that adding needs no carries; `add_exactly` carries once for each
// call. The last three count the NaNs and the positive and negative infinities that were added. A
// call may add up to 2^30 numbers to a sum. Kulisch's long accumulator (doi:10.1515/9783110301793).

inline constexpr int64_t kExactWords = 70;

/// Returns `count` sums that are 0: [count, kExactWords] int64.
torch::Tensor exact_sums(int64_t count, at::Device device);

/// Adds column j of `values` [rows, count] float64 to sum j, in place. `sums` must be contiguous;
/// it may be a narrow() of more sums. Doesn't wait for a device.
void add_exactly(const torch::Tensor& sums, const torch::Tensor& values);
/// Adds values[i] to sum number which[i]: `values` [n] float64, `which` [n] int64.
void add_exactly(const torch::Tensor& sums, const torch::Tensor& values,
                 const torch::Tensor& which);
/// The same by tensor operations that every device has. `add_exactly` uses this unless the sums are
/// on the CPU.
void add_exactly_on_device(const torch::Tensor& sums, const torch::Tensor& values,
                           const torch::Tensor& which);

/// Returns the float64 that is nearest to each sum. Waits for the device.
std::vector<double> rounded_sums(const torch::Tensor& sums);
/// Returns two float64 for each sum, of which the second is the nearest to what the first leaves:
/// together they have about 106 bits.
std::vector<std::pair<double, double>> sums_as_pairs(const torch::Tensor& sums);

/// Returns a * b without rounding, as the sum of the two tensors: the product and its rounding
/// error. `a` and `b` are float64 of shapes that can be broadcast, below 2^995 in size. Dekker
/// (doi:10.1007/BF01397083).
std::pair<torch::Tensor, torch::Tensor> exact_product(const torch::Tensor& a,
                                                      const torch::Tensor& b);

}  // namespace levin
