#include <levin/framework/solvers/lazy_steps.h>

namespace levin {

LazySteps::LazySteps(double length, double l1, double l2, int64_t most)
    : single_{.length = length, .shrink = length * l1, .factor = 1.0 - 2.0 * length * l2} {
  powers_.push_back(1.0);
  sums_.push_back(0.0);
  for (int64_t i = 0; i < most; ++i) {
    sums_.push_back(sums_.back() + powers_.back());
    powers_.push_back(powers_.back() * single_.factor);
  }
}

double LazySteps::many(double w, double gradient, int64_t count) const {
  while (count > 0) {
    if (w == 0.0) {
      w = one(w, gradient);
      --count;
      if (w == 0.0) return w;  // it stays there
      continue;
    }
    const double sign = w > 0.0 ? 1.0 : -1.0;
    const double end = same_sign(w, gradient, sign, count);
    if (end * sign >= 0.0) return end;
    // The points come ever closer to one of the other sign: find the last one of this sign.
    int64_t before = 0;
    for (int64_t after = count; after - before > 1;) {
      const int64_t middle = before + (after - before) / 2;
      (same_sign(w, gradient, sign, middle) * sign > 0.0 ? before : after) = middle;
    }
    w = one(before > 0 ? same_sign(w, gradient, sign, before) : w, gradient);
    count -= before + 1;
  }
  return w;
}

}  // namespace levin
