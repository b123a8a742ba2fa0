#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/tuning/samplers/searcher.h>

namespace levin {

/// The settings of TpeSearcher; the defaults are those of Optuna 5.
struct TpeOptions {
  uint64_t seed = 0;
  /// As long as fewer trials have ended (complete or pruned), values are random.
  int64_t startup_trials = 10;
  /// How many points are drawn from the good density, of which the best one is taken.
  int64_t candidates = 24;
  /// Whether parameters that all trials have are chosen together; by default, with one objective.
  std::optional<bool> multivariate{};
  /// Whether running trials count as bad ones, so that trials side by side differ.
  bool constant_liar = true;
  /// Above 0: trial n knows the results of the trials up to n - lag alone, and counts all later
  /// ones as running. The study is then the same in whatever order trials end, if at most `lag` of
  /// them run side by side and each waits until `is_ready`. 0: each trial knows what has ended so
  /// far.
  int64_t lag = 0;
};

/// The tree-structured Parzen estimator as Optuna 5 does it (doi:10.5555/2986459.2986743,
/// arXiv:2304.11127): the trials are divided into good and bad ones, a density is estimated for
/// either (see ParzenEstimator), and the point is taken at which the ratio of the two is largest.
class TpeSearcher : public Searcher {
 public:
  /// Throws ConfigError if startup_trials or lag is below 0 or candidates below 1.
  TpeSearcher(SearchSpace space, TpeOptions options);

  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool uses_results() const override { return true; }
  /// With a lag: whether the trials up to `number` - lag have ended, and it is known what
  /// parameters the later ones were given.
  bool is_ready(const Study& study, int64_t number) const override;

  /// Chooses values of these parameters together, from the good and bad trials that trial `number`
  /// knows of. With a RandomSource of the same seed as Optuna's, they are Optuna's.
  ParameterValues choose(const Study& study, int64_t number,
                         const std::vector<const SearchParameter*>& parameters,
                         RandomSource& random) const;

 private:
  bool has_ended(const Trial& trial, int64_t number) const;
  bool counts_as_running(const Trial& trial, int64_t number) const;
  std::vector<const SearchParameter*> common_parameters(const Study& study, int64_t number) const;

  SearchSpace space_;
  TpeOptions options_;
};

/// The trials that TPE tells apart, each in the order of their numbers.
struct TrialSplit {
  std::vector<const Trial*> good{};
  std::vector<const Trial*> bad{};
};
/// Divides trials that have ended: the `count` best ones are good, complete ones before pruned
/// ones. Of pruned ones, those that got farther are better, then those with the better last value.
TrialSplit split_trials(const Study& study, const std::vector<const Trial*>& trials, size_t count);

}  // namespace levin
