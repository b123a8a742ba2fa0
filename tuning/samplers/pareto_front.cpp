#include <levin/tuning/samplers/pareto_front.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace levin {
namespace {

constexpr size_t kUnranked = std::numeric_limits<size_t>::max();

bool dominates(const std::vector<double>& a, const std::vector<double>& b) {
  bool is_smaller = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) return false;
    is_smaller = is_smaller || a[i] < b[i];
  }
  return is_smaller;
}

double box_volume(const std::vector<double>& point, const std::vector<double>& reference) {
  double volume = 1.0;
  for (size_t i = 0; i < point.size(); ++i) volume *= reference[i] - point[i];
  return volume;
}

/// The reference that Optuna uses: a tenth beyond the largest losses.
std::vector<double> reference_beyond(const LossPoints& points) {
  std::vector<double> reference = points.front();
  for (const auto& point : points) {
    for (size_t i = 0; i < point.size(); ++i) reference[i] = std::max(reference[i], point[i]);
  }
  for (double& loss : reference) {
    loss = std::max(1.1 * loss, 0.9 * loss);
    if (loss == 0.0) loss = 1e-12;
  }
  return reference;
}

}  // namespace

std::vector<size_t> nondomination_ranks(const LossPoints& points) {
  std::vector<size_t> ranks(points.size(), kUnranked);
  size_t left = points.size();
  for (size_t rank = 0; left > 0; ++rank) {
    std::vector<size_t> front;
    for (size_t i = 0; i < points.size(); ++i) {
      if (ranks[i] != kUnranked) continue;
      bool is_dominated = false;
      for (size_t j = 0; j < points.size() && !is_dominated; ++j) {
        is_dominated = ranks[j] == kUnranked && dominates(points[j], points[i]);
      }
      if (!is_dominated) front.push_back(i);
    }
    for (const size_t i : front) ranks[i] = rank;
    left -= front.size();
  }
  return ranks;
}

// The volume of a set is that of its first point, less what the others have in common with it, plus
// that of the others (WFG, doi:10.1109/TEVC.2010.2077298).
double hypervolume(const LossPoints& points, const std::vector<double>& reference) {
  LossPoints front;
  for (const auto& point : points) {
    const bool is_covered = std::any_of(front.begin(), front.end(), [&](const auto& other) {
      return other == point || dominates(other, point);
    });
    if (is_covered) continue;
    front.erase(std::remove_if(front.begin(), front.end(),
                               [&](const auto& other) { return dominates(point, other); }),
                front.end());
    front.push_back(point);
  }
  double volume = 0.0;
  for (size_t i = 0; i < front.size(); ++i) {
    LossPoints common(front.begin() + static_cast<std::ptrdiff_t>(i) + 1, front.end());
    for (auto& other : common) {
      for (size_t k = 0; k < other.size(); ++k) other[k] = std::max(other[k], front[i][k]);
    }
    volume += box_volume(front[i], reference) - hypervolume(common, reference);
  }
  return volume;
}

std::vector<size_t> largest_hypervolume_subset(const LossPoints& points, size_t count,
                                               const std::vector<double>& reference) {
  std::vector<size_t> left(points.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] = i;
  // Ties go to the smaller point, as in Optuna, which sorts them.
  std::stable_sort(left.begin(), left.end(),
                   [&](size_t a, size_t b) { return points[a] < points[b]; });
  LossPoints chosen_points;
  std::vector<size_t> chosen;
  double volume = 0.0;
  while (chosen.size() < count && !left.empty()) {
    double most = -1.0;
    size_t best = 0;
    for (size_t i = 0; i < left.size(); ++i) {
      LossPoints with = chosen_points;
      with.push_back(points[left[i]]);
      const double gain = hypervolume(with, reference) - volume;
      if (gain > most) {
        most = gain;
        best = i;
      }
    }
    volume += most;
    chosen.push_back(left[best]);
    chosen_points.push_back(points[left[best]]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(best));
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::vector<size_t> best_points(const LossPoints& points, size_t count) {
  count = std::min(count, points.size());
  const std::vector<size_t> ranks = nondomination_ranks(points);
  std::vector<size_t> best;
  for (size_t rank = 0; best.size() < count; ++rank) {
    std::vector<size_t> members;
    for (size_t i = 0; i < points.size(); ++i) {
      if (ranks[i] == rank) members.push_back(i);
    }
    if (best.size() + members.size() > count) {
      LossPoints losses;
      for (const size_t i : members) losses.push_back(points[i]);
      const auto reference = reference_beyond(losses);
      const bool is_finite = std::all_of(reference.begin(), reference.end(),
                                         [](double loss) { return std::isfinite(loss); });
      const size_t wanted = count - best.size();
      std::vector<size_t> subset;
      if (is_finite) {
        subset = largest_hypervolume_subset(losses, wanted, reference);
      } else {
        for (size_t i = 0; i < wanted; ++i) subset.push_back(i);
      }
      for (size_t& i : subset) i = members[i];
      members = std::move(subset);
    }
    best.insert(best.end(), members.begin(), members.end());
  }
  std::sort(best.begin(), best.end());
  return best;
}

std::vector<double> losses_of(const Study& study, const Trial& trial) {
  std::vector<double> losses = trial.values;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (study.directions[i] == StudyDirection::maximize) losses[i] = -losses[i];
  }
  return losses;
}

std::vector<const Trial*> pareto_front(const Study& study) {
  std::vector<const Trial*> complete;
  LossPoints points;
  for (const Trial& trial : study.trials) {
    const bool counts = trial.state == TrialState::complete &&
                        trial.values.size() == study.directions.size() &&
                        std::none_of(trial.values.begin(), trial.values.end(),
                                     [](double value) { return std::isnan(value); });
    if (!counts) continue;
    complete.push_back(&trial);
    points.push_back(losses_of(study, trial));
  }
  std::vector<const Trial*> front;
  for (size_t i = 0; i < complete.size(); ++i) {
    const bool is_dominated = std::any_of(points.begin(), points.end(), [&](const auto& other) {
      return dominates(other, points[i]);
    });
    if (!is_dominated) front.push_back(complete[i]);
  }
  return front;
}

}  // namespace levin
