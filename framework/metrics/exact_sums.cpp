#include <levin/framework/metrics/exact_sums.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

namespace levin {
namespace {

constexpr int64_t kSumDigits =
    67;  // words that are digits; counts of NaN, +infinity, -infinity follow
constexpr int64_t kDigitMask = 0xffffffff;
constexpr int64_t kMantissaMask = (int64_t{1} << 52) - 1;
constexpr int64_t kNoNumber = 0x7ff;  // the exponent of NaNs and infinities
using SumDigits = std::array<int64_t, kSumDigits>;

void add_to_words(int64_t* words, double value) {
  const auto bits = std::bit_cast<int64_t>(value);
  const int64_t exponent = (bits >> 52) & kNoNumber;
  int64_t mantissa = bits & kMantissaMask;
  if (exponent == kNoNumber) {
    ++words[kSumDigits + (mantissa != 0 ? 0 : bits >= 0 ? 1 : 2)];
    return;
  }
  if (exponent > 0) mantissa |= kMantissaMask + 1;
  if (bits < 0) mantissa = -mantissa;
  const int64_t place = std::max<int64_t>(exponent - 1, 0);
  const int64_t shift = place & 31;
  const int64_t low = (mantissa & kDigitMask) << shift;
  const int64_t high = (mantissa >> 32) * (int64_t{1} << shift);
  int64_t* const first = words + (place >> 5);
  first[0] += low & kDigitMask;
  first[1] += (low >> 32) + (high & kDigitMask);
  first[2] += high >> 32;
}

/// Moves what a digit has beyond 32 bits to the next one, as it was before the call.
void carry_once(int64_t* words) {
  int64_t carry = 0;
  for (int64_t i = 0; i < kSumDigits; ++i) {
    const int64_t next = i + 1 < kSumDigits ? words[i] >> 32 : 0;
    words[i] += carry - next * (int64_t{1} << 32);
    carry = next;
  }
}

/// Makes all digits but the last one at least 0 and below 2^32.
void carry_all(SumDigits& digits) {
  for (size_t i = 0; i + 1 < digits.size(); ++i) {
    const int64_t carry = digits[i] >> 32;
    digits[i] -= carry * (int64_t{1} << 32);
    digits[i + 1] += carry;
  }
}

/// The float64 that is nearest to normalised digits.
double round_digits(SumDigits digits) {
  const bool is_negative = digits.back() < 0;
  if (is_negative) {
    for (auto& digit : digits) digit = -digit;
    carry_all(digits);
  }
  size_t top = digits.size() - 1;
  while (top > 0 && digits[top] == 0) --top;
  const size_t last = top < 2 ? 0 : top - 2;  // three digits have at least 65 bits
  unsigned __int128 leading = 0;
  for (size_t i = top + 1; i-- > last;) {
    leading = (leading << 32) | static_cast<unsigned __int128>(digits[i]);
  }
  const bool has_more = std::any_of(digits.begin(), digits.begin() + static_cast<int64_t>(last),
                                    [](int64_t digit) { return digit != 0; });
  if (has_more) leading |= 1;  // decides ties
  const double result =
      std::ldexp(static_cast<double>(leading), 32 * static_cast<int>(last) - 1074);
  return is_negative ? -result : result;
}

std::pair<double, double> pair_of(const int64_t* words) {
  const int64_t* const counts = words + kSumDigits;
  if (counts[0] != 0 || (counts[1] != 0 && counts[2] != 0)) {
    return {std::numeric_limits<double>::quiet_NaN(), 0.0};
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (counts[1] != 0 || counts[2] != 0) return {counts[1] != 0 ? kInfinity : -kInfinity, 0.0};
  SumDigits digits;
  std::copy(words, words + kSumDigits, digits.begin());
  carry_all(digits);
  const double first = round_digits(digits);
  if (!std::isfinite(first)) return {first, 0.0};
  std::array<int64_t, kExactWords> rest{};
  std::copy(digits.begin(), digits.end(), rest.begin());
  add_to_words(rest.data(), -first);
  std::copy(rest.begin(), rest.begin() + kSumDigits, digits.begin());
  carry_all(digits);
  return {first, round_digits(digits)};
}

/// The upper and the lower half of the bits of float64 numbers.
std::pair<torch::Tensor, torch::Tensor> halves(const torch::Tensor& numbers) {
  const auto scaled = numbers * 134217729.0;  // 2^27 + 1
  const auto upper = scaled - (scaled - numbers);
  return {upper, numbers - upper};
}

}  // namespace

torch::Tensor exact_sums(int64_t count, at::Device device) {
  return at::zeros({count, kExactWords}, at::TensorOptions(at::kLong).device(device));
}

void add_exactly(const torch::Tensor& sums, const torch::Tensor& values) {
  const auto which = at::arange(values.size(1), sums.options()).expand(values.sizes());
  add_exactly(sums, values.reshape({-1}), which.reshape({-1}));
}

void add_exactly(const torch::Tensor& sums, const torch::Tensor& values,
                 const torch::Tensor& which) {
  if (!sums.is_cpu()) return add_exactly_on_device(sums, values, which);
  const auto all = values.detach().contiguous();
  const auto places = which.contiguous();
  const double* const numbers = all.const_data_ptr<double>();
  const int64_t* const place = places.const_data_ptr<int64_t>();
  auto* const words = static_cast<int64_t*>(sums.data_ptr());
  for (int64_t i = 0; i < all.numel(); ++i)
    add_to_words(words + place[i] * kExactWords, numbers[i]);
  for (int64_t i = 0; i < sums.size(0); ++i) carry_once(words + i * kExactWords);
}

void add_exactly_on_device(const torch::Tensor& sums, const torch::Tensor& values,
                           const torch::Tensor& which) {
  const at::NoGradGuard no_grad;
  const auto bits = values.detach().contiguous().view(at::kLong);
  const auto exponent = bits.bitwise_right_shift(52).bitwise_and(kNoNumber);
  const auto fraction = bits.bitwise_and(kMantissaMask);
  const auto is_number = exponent.ne(kNoNumber);
  auto mantissa = fraction + exponent.gt(0).to(at::kLong) * (kMantissaMask + 1);
  mantissa = at::where(bits.lt(0), -mantissa, mantissa) * is_number;
  const auto place = (exponent - 1).clamp_min(0);
  const auto shift = place.bitwise_and(31);
  const auto low = mantissa.bitwise_and(kDigitMask).bitwise_left_shift(shift);
  const auto high =
      mantissa.bitwise_right_shift(32) * at::ones_like(shift).bitwise_left_shift(shift);
  const auto kind = at::where(fraction.ne(0), 0, at::where(bits.lt(0), 2, 1));
  const auto first = which * kExactWords + at::where(is_number, place.bitwise_right_shift(5), 0);
  const auto added = at::cat({low.bitwise_and(kDigitMask),
                              low.bitwise_right_shift(32) + high.bitwise_and(kDigitMask),
                              high.bitwise_right_shift(32), is_number.logical_not().to(at::kLong)});
  sums.view({-1}).index_add_(
      0, at::cat({first, first + 1, first + 2, which * kExactWords + kSumDigits + kind}), added);
  const auto carries = sums.narrow(1, 0, kSumDigits - 1).bitwise_right_shift(32);
  sums.narrow(1, 0, kSumDigits - 1).sub_(carries.bitwise_left_shift(32));
  sums.narrow(1, 1, kSumDigits - 1).add_(carries);
}

std::vector<double> rounded_sums(const torch::Tensor& sums) {
  std::vector<double> result;
  for (const auto& [first, rest] : sums_as_pairs(sums)) result.push_back(first);
  return result;
}

std::vector<std::pair<double, double>> sums_as_pairs(const torch::Tensor& sums) {
  const auto here = sums.cpu().contiguous();
  const auto* const words = here.const_data_ptr<int64_t>();
  std::vector<std::pair<double, double>> result;
  for (int64_t i = 0; i < here.size(0); ++i) result.push_back(pair_of(words + i * kExactWords));
  return result;
}

std::pair<torch::Tensor, torch::Tensor> exact_product(const torch::Tensor& a,
                                                      const torch::Tensor& b) {
  const auto product = a * b;
  const auto [a_upper, a_lower] = halves(a);
  const auto [b_upper, b_lower] = halves(b);
  const auto error =
      a_lower * b_lower - (((product - a_upper * b_upper) - a_lower * b_upper) - a_upper * b_lower);
  return {product, error};
}

}  // namespace levin
