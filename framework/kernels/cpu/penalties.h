#pragma once

// What penalties leave of weights, in one step and in many, for a vector of weights at a time. Only
// online_rules.h and ftrl_rule.h include this file.
#include <levin/framework/kernels/cpu/adam.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// Square roots, with an error of at most two units in the last place.
inline Vector roots(Vector x) { return root(x); }
inline VectorOf<double> roots(VectorOf<double> x) {
  for (int i = 0; i < VectorsOf<double>::kSize; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
}
template <class V>
inline V sizes(V x) {
  return x < V{} ? -x : x;
}

// Returns log(x) for x from 1e-37 to 1: with x = 2^n m, m from 0.7 to 1.4, and s = (m - 1) / (m +
// 1), it is n log(2) + 2 (s + s^3 / 3 + s^5 / 5 + ...).
inline Vector logarithm(Vector x) {
  const Integers n = ((Integers)x - 0x3F330000) >> 23;  // the bits of 0.7
  const auto m = (Vector)((Integers)x - (n << 23));
  const Vector s = (m - 1.0F) / (m + 1.0F), square = s * s;
  Vector sum = all(1.0F / 9.0F);
  sum = sum * square + 1.0F / 7.0F;
  sum = sum * square + 1.0F / 5.0F;
  sum = sum * square + 1.0F / 3.0F;
  sum = sum * square + 1.0F;
  return __builtin_convertvector(n, Vector) * 0.693147181F + 2.0F * s * sum;
}

// From here on, 1 - x has enough digits, and the series below would need more terms.
constexpr double kLargePart = 0.1;
// The penalties of a step leave at least 1 - kMostPart of a weight, in place of nothing.
template <class Number>
constexpr Number kMostPart = sizeof(Number) == 4 ? Number(1.0 - 6e-8) : Number(1.0 - 1.2e-16);

inline Vector log_of_large_part(Vector x) {
  const Vector most = all(kMostPart<float>);
  return logarithm(1.0F - (x > most ? most : x));
}
inline VectorOf<double> log_of_large_part(VectorOf<double> x) {
  for (int i = 0; i < VectorsOf<double>::kSize; ++i) {
    if (x[i] < kLargePart) continue;
    x[i] = __builtin_log1p(-(x[i] > kMostPart<double> ? kMostPart<double> : x[i]));
  }
  return x;
}

// Whether a comparison holds in any lane.
template <class Mask>
inline bool is_any(Mask holds) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)holds, (__m512i)holds) != 0;
#else
  auto all = holds[0];
  for (int i = 1; i < static_cast<int>(sizeof(holds) / sizeof(holds[0])); ++i) all |= holds[i];
  return all != 0;
#endif
}

// Returns log(1 - x) for x >= 0: -(x + x^2 / 2 + x^3 / 3 + ...). Large parts are rare.
template <class Number>
inline VectorOf<Number> log_of_rest(VectorOf<Number> x) {
  constexpr int kTerms = sizeof(Number) == 4 ? 8 : 16;
  VectorOf<Number> sum = all_of(Number(1) / static_cast<Number>(kTerms));
#pragma GCC unroll 16
  for (int k = kTerms - 1; k > 0; --k) sum = sum * x + Number(1) / static_cast<Number>(k);
  const auto is_small = x < static_cast<Number>(kLargePart);
  if (is_any(~is_small)) return is_small ? -x * sum : log_of_large_part(x);
  return -x * sum;
}

inline Vector exponential_less_1_of_large(Vector y) { return exponential(y) - 1.0F; }
inline VectorOf<double> exponential_less_1_of_large(VectorOf<double> y) {
  for (int i = 0; i < VectorsOf<double>::kSize; ++i) {
    if (!(y[i] > -0.35)) y[i] = __builtin_expm1(y[i]);
  }
  return y;
}

constexpr double one_by_factorial(int k) { return k < 2 ? 1.0 : one_by_factorial(k - 1) / k; }

// The coefficients of the series of e^y, up to y^kTerms.
template <class Number, int kTerms>
struct ExponentialSeries {
  constexpr ExponentialSeries() {
    for (int k = 0; k <= kTerms; ++k) of[k] = static_cast<Number>(one_by_factorial(k));
  }
  Number of[kTerms + 1] = {};
};

// Returns e^y - 1 for y <= 0, without the loss of digits near 0.
template <class Number>
inline VectorOf<Number> exponential_less_1(VectorOf<Number> y) {
  constexpr int kTerms = sizeof(Number) == 4 ? 8 : 15;
  constexpr ExponentialSeries<Number, kTerms> coefficients;
  VectorOf<Number> sum = all_of(coefficients.of[kTerms]);
#pragma GCC unroll 16
  for (int k = kTerms - 1; k > 0; --k) sum = sum * y + coefficients.of[k];
  const auto is_small = y > Number(-0.35);
  if (is_any(~is_small)) return is_small ? sum * y : exponential_less_1_of_large(y);
  return sum * y;
}

template <class Number>
class Penalties {
 public:
  typedef VectorOf<Number> V;

  explicit Penalties(const OnlineSettings& settings)
      : l1_(static_cast<Number>(settings.l1)),
        l2_(static_cast<Number>(settings.l2)),
        l1_over_l2_(settings.l2 > 0.0 ? static_cast<Number>(settings.l1 / settings.l2)
                                      : Number(0)) {}

  // What several steps in a row leave of weights without gradients. `log_rest` is the sum of log(1
  // - rate * l2) over these steps, and counts only with l2; `rates` is the sum of the rates, and
  // counts only without. That each step stops at 0 makes no difference: a weight that would have
  // crossed 0 in some step would be beyond it at the end. The sum of rate * (the product of the
  // later steps' 1
  // - rate * l2) is (1 - e^log_rest) / l2.
  V after(V weight, V log_rest, V rates) const {
    const V size = sizes(weight);
    const V left = has_l2() ? size + (size + l1_over_l2_) * exponential_less_1<Number>(log_rest)
                            : size - l1_ * rates;
    return with_size(weight, left);
  }
  // What steps of one rate leave.
  V after_steps(V weight, V rate, V times) const {
    return after(weight, has_l2() ? times * log_of_rest<Number>(rate * l2_) : V{}, times * rate);
  }
  // A step with a gradient.
  V step(V weight, V g, V rate) const {
    const V rest = Number(1) - rate * l2_;
    const V moved = (rest < V{} ? V{} : rest) * weight - rate * g;
    return with_size(moved, sizes(moved) - rate * l1_);
  }
  bool has_l2() const { return l2_ > Number(0); }

 private:
  // NaN stays NaN.
  static V with_size(V weight, V size) {
    const V left = size <= V{} ? V{} : size;
    return weight < V{} ? -left : left;
  }

  const Number l1_, l2_, l1_over_l2_;
};

}  // namespace
}  // namespace levin::kernels
