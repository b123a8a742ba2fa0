#include <levin/framework/plots/roc_curve.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace levin {
namespace {

/// The lowest and the highest true positive rate at a false positive rate, which differ where the
/// curve goes straight up.
std::pair<double, double> rates_at(const RocCurve& curve, double rate) {
  const auto& points = curve.points;
  const auto by_rate = [](const auto& point, double at) { return point.first < at; };
  const auto first = std::lower_bound(points.begin(), points.end(), rate, by_rate);
  auto last = first;
  while (last + 1 != points.end() && (last + 1)->first == rate) ++last;
  if (first->first == rate) return {first->second, last->second};
  const auto before = first - 1;
  const double share = (rate - before->first) / (first->first - before->first);
  const double between = before->second + share * (first->second - before->second);
  return {between, between};
}

}  // namespace

RocCurve roc_curve(const std::vector<double>& scores, const std::vector<bool>& positive) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  const auto positives = static_cast<double>(std::count(positive.begin(), positive.end(), true));
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0.0 || negatives == 0.0) return {{}, std::nan("")};
  std::vector<std::pair<double, double>> counts = {{0.0, 0.0}};  // of false and true positives
  double pairs = 0.0;                                            // twice as many as are in order
  for (size_t i = 0; i < order.size();) {
    auto [wrong, right] = counts.back();
    const auto [wrong_before, right_before] = counts.back();
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) {
      (positive[order[i]] ? right : wrong) += 1.0;
    }
    pairs += (wrong - wrong_before) * (right + right_before);
    if (counts.size() > 1) {
      const auto& before = counts[counts.size() - 2];
      const bool is_straight = (wrong_before - before.first) * (right - right_before) ==
                               (right_before - before.second) * (wrong - wrong_before);
      if (is_straight) counts.pop_back();
    }
    counts.emplace_back(wrong, right);
  }
  RocCurve curve{{}, pairs / (2.0 * positives * negatives)};
  for (const auto& [wrong, right] : counts) {
    curve.points.emplace_back(wrong / negatives, right / positives);
  }
  return curve;
}

RocCurve mean_roc_curve(const std::vector<RocCurve>& curves) {
  std::vector<const RocCurve*> known;
  std::vector<double> rates;
  RocCurve mean;
  for (const auto& curve : curves) {
    if (curve.points.empty()) continue;
    known.push_back(&curve);
    mean.area += curve.area;
    for (const auto& point : curve.points) rates.push_back(point.first);
  }
  const auto count = static_cast<double>(known.size());
  mean.area = known.empty() ? std::nan("") : mean.area / count;
  std::sort(rates.begin(), rates.end());
  rates.erase(std::unique(rates.begin(), rates.end()), rates.end());
  for (const double rate : rates) {
    double low = 0.0;
    double high = 0.0;
    for (const RocCurve* curve : known) {
      const auto [lowest, highest] = rates_at(*curve, rate);
      low += lowest;
      high += highest;
    }
    mean.points.emplace_back(rate, low / count);
    if (high > low) mean.points.emplace_back(rate, high / count);
  }
  return mean;
}

}  // namespace levin
