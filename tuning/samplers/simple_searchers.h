#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <levin/tuning/samplers/searcher.h>

namespace levin {

/// Independent random values for each trial.
class RandomSearcher : public Searcher {
 public:
  RandomSearcher(SearchSpace space, uint64_t seed);
  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool uses_results() const override { return false; }

 private:
  SearchSpace space_;
  uint64_t seed_;
};

/// Every combination of values, one after another; the last parameter changes first. A combination
/// that differs from another one only in parameters that aren't there is tried once.
class GridSearcher : public Searcher {
 public:
  /// A range of floats without steps is tried at `points` values, its ends included; evenly, or
  /// evenly in the logarithm. 0 points refuse such a range. Throws ConfigError for that, and for
  /// more than a million combinations.
  explicit GridSearcher(SearchSpace space, int64_t points = 0);
  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool uses_results() const override { return false; }
  /// The number of combinations.
  size_t size() const { return combinations_.size(); }

 private:
  std::vector<ParameterValues> combinations_;
};

/// The points of a Sobol sequence, which cover the space more evenly than random ones: each group
/// of 2^k trials has one point in each of many boxes of equal size. The sequence is that of scipy's
/// `qmc.Sobol`, with the direction numbers of Joe and Kuo (doi:10.1137/070709359), scrambled as
/// there: by a random linear matrix and a digital shift (Matousek, doi:10.1006/jcom.1998.0489).
class SobolSearcher : public Searcher {
 public:
  /// Throws ConfigError if the space has more parameters than `most_parameters`.
  SobolSearcher(SearchSpace space, uint64_t seed);
  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool uses_results() const override { return false; }
  static constexpr size_t most_parameters = 64;

 private:
  SearchSpace space_;
  std::vector<std::vector<uint32_t>> directions_;  // [parameters][30]
  std::vector<uint32_t> shifts_;
};

/// The direction numbers of one dimension of the Sobol sequence, from 0, as multiples of 2^-30,
/// [30]. The point `n` of the sequence is the exclusive or of those at the bits of n ^ (n >> 1).
std::vector<uint32_t> sobol_directions(size_t dimension);

}  // namespace levin
