#include <levin/framework/solvers/kinked_line.h>

#include <algorithm>

namespace levin {

double least_on_line(double slope, double curvature, std::vector<Kink> kinks) {
  if (!(slope < 0.0)) return 0.0;
  std::sort(kinks.begin(), kinks.end(), [](const Kink& a, const Kink& b) { return a.at < b.at; });
  double from = 0.0;
  for (const auto& kink : kinks) {
    const double before = slope + curvature * (kink.at - from);
    if (before >= 0.0) break;
    from = kink.at;
    slope = before + kink.rise;
    if (slope >= 0.0) return from;
  }
  return curvature > 0.0 ? from - slope / curvature : from;
}

}  // namespace levin
