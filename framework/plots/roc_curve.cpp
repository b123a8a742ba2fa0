#include <levin/framework/plots/roc_curve.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace levin {

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

}  // namespace levin
