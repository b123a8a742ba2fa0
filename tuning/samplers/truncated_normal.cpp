#include <levin/tuning/samplers/truncated_normal.h>

#include <cmath>
#include <limits>

namespace levin {
namespace {

const double kLogSqrtTwoPi = 0.5 * std::log(2.0 * 3.14159265358979323846);

/// The logarithm of the normal distribution function.
double log_distribution(double x) {
  if (x > 6.0) return -0.5 * std::erfc(x / std::sqrt(2.0));
  if (x > -20.0) return std::log(0.5 * std::erfc(-x / std::sqrt(2.0)));
  if (std::isinf(x)) return x;
  // The asymptotic series 1 - 1/x^2 + 3/x^4 - ...
  double sum = 1.0;
  double term = 1.0;
  for (int i = 1; i < 60 && std::fabs(term) > std::numeric_limits<double>::epsilon(); ++i) {
    term *= -(2.0 * i - 1.0) / (x * x);
    sum += term;
  }
  return -0.5 * x * x - std::log(-x) - kLogSqrtTwoPi + std::log(sum);
}

double log_difference(double larger, double smaller) {
  return larger + std::log1p(-std::exp(smaller - larger));
}

double log_sum(double a, double b) {
  const double larger = std::fmax(a, b);
  if (std::isinf(larger)) return larger;
  return larger + std::log1p(std::exp(-std::fabs(a - b)));
}

/// The x whose log_distribution is y, by Newton's method. Above one half, the other tail is
/// searched instead, because there y says little about x.
double quantile_of_log(double y) {
  const bool is_flipped = y > -1e-2;
  const double z = is_flipped ? std::log(-std::expm1(y)) : y;
  double x = z < -5.0 ? -std::sqrt(-2.0 * (z + kLogSqrtTwoPi))
                      : -std::sqrt(3.0) / 3.14159265358979323846 * std::log(std::expm1(-z));
  for (int i = 0; i < 100; ++i) {
    const double log_value = log_distribution(x);
    const double step = (log_value - z) * std::exp(log_value + 0.5 * x * x + kLogSqrtTwoPi);
    x -= step;
    if (!(std::fabs(step) >= 1e-10 * std::fabs(x))) break;
  }
  return is_flipped ? -x : x;
}

}  // namespace

double log_normal_mass(double a, double b) {
  if (b <= 0.0) return log_difference(log_distribution(b), log_distribution(a));
  if (a > 0.0) return log_difference(log_distribution(-a), log_distribution(-b));
  return std::log1p(-0.5 * std::erfc(-a / std::sqrt(2.0)) - 0.5 * std::erfc(b / std::sqrt(2.0)));
}

double truncated_normal_quantile(double q, double a, double b) {
  if (q <= 0.0) return a;
  if (q >= 1.0) return b;
  const double log_mass = log_normal_mass(a, b);
  if (a < 0.0) return quantile_of_log(log_sum(log_distribution(a), std::log(q) + log_mass));
  return -quantile_of_log(log_sum(log_distribution(-b), std::log1p(-q) + log_mass));
}

}  // namespace levin
