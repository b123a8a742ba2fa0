#include <levin/datamodules/tables/number_sums.h>

#include <algorithm>
#include <cmath>

namespace levin::tables {
namespace {

LongNumber exact_sum(double a, double b) {
  const double sum = a + b;
  const double of_b = sum - a;
  return {sum, (a - (sum - of_b)) + (b - of_b)};
}

LongNumber exact_product(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

LongNumber long_sum(const LongNumber& a, const LongNumber& b) {
  const auto high = exact_sum(a.high, b.high);
  const auto low = exact_sum(a.low, b.low);
  const auto carried = exact_sum(high.high, high.low + low.high);
  return exact_sum(carried.high, carried.low + low.low);
}

LongNumber long_product(const LongNumber& a, double b) {
  const auto product = exact_product(a.high, b);
  return exact_sum(product.high, product.low + a.low * b);
}

LongNumber squared(const LongNumber& a) {
  const auto product = exact_product(a.high, a.high);
  return exact_sum(product.high, product.low + 2.0 * a.high * a.low);
}

}  // namespace

void NumberSums::add_copies(double number, int64_t copies) {
  if (count_ == 0) first_ = number;
  count_ += copies;
  const double difference = number - first_;
  auto square = exact_product(difference, difference);
  LongNumber sum{difference, 0.0};
  if (copies != 1) {
    sum = exact_product(difference, static_cast<double>(copies));
    square = long_product(square, static_cast<double>(copies));
  }
  sum_ = long_sum(sum_, sum);
  squares_ = long_sum(squares_, square);
}

double NumberSums::mean() const {
  const auto count = static_cast<double>(count_);
  return first_ + (sum_.high / count + sum_.low / count);
}

double NumberSums::variance() const {
  const auto count = static_cast<double>(count_);
  const auto square = squared(sum_);
  const auto rest = long_sum(long_product(squares_, count), {-square.high, -square.low});
  const double variance = (rest.high + rest.low) / count / count;
  return variance < 0.0 ? 0.0 : variance;  // NaN stays
}

}  // namespace levin::tables
