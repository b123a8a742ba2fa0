#include <levin/framework/profiling/communication.h>

#include <algorithm>

namespace levin {
namespace {

/// The length of the union of the collectives' times, cut off at `limit`.
double seconds_until(const Reduction& step, double limit) {
  std::vector<Reduction::Collective> sorted = step.collectives;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  double sum = 0.0;
  double covered = sorted.empty() ? 0.0 : sorted.front().begin;
  for (const auto& one : sorted) {
    const double begin = std::max(one.begin, covered);
    const double end = std::min(one.end, limit);
    if (end <= begin) continue;
    sum += end - begin;
    covered = end;
  }
  return sum;
}

}  // namespace

void Communication::add(const Reduction& step) {
  if (steps % stride == 0) {
    if (waits.size() == kMaxWaits) {  // keep every second one
      for (size_t i = 0; 2 * i < kMaxWaits; ++i) waits[i] = waits[2 * i];
      waits.resize(kMaxWaits / 2);
      stride *= 2;
    }
    if (steps % stride == 0) waits.push_back(static_cast<float>(step.end - step.ready));
  }
  ++steps;
  for (const auto& one : step.collectives) bytes += one.bytes;
  seconds += seconds_until(step, step.end);
  hidden += seconds_until(step, step.ready);
  waiting += step.end - step.ready;
}

void tell_slower_apart(std::vector<Communication>& ranks) {
  size_t count = ranks.empty() ? 0 : ranks.front().waits.size();
  for (const auto& one : ranks) count = std::min(count, one.waits.size());
  std::vector<double> slower(ranks.size(), 0.0);
  for (size_t i = 0; i < count; ++i) {
    float least = ranks.front().waits[i];
    for (const auto& one : ranks) least = std::min(least, one.waits[i]);
    for (size_t r = 0; r < ranks.size(); ++r) slower[r] += ranks[r].waits[i] - least;
  }
  for (size_t r = 0; r < ranks.size(); ++r) {
    double kept = 0.0;
    for (size_t i = 0; i < count; ++i) kept += ranks[r].waits[i];
    ranks[r].for_slower = kept > 0 ? ranks[r].waiting * slower[r] / kept : 0.0;
  }
}

}  // namespace levin
