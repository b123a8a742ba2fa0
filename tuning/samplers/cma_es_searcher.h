#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <levin/tuning/samplers/cma_es.h>
#include <levin/tuning/samplers/searcher.h>

namespace levin {

/// CMA-ES over the parameters of a space that are numbers and always there, in the scale of their
/// ranges; choices and conditional parameters are random. For one objective.
///
/// A trial belongs to a generation, which its system attribute "cma:generation" says. A generation
/// ends when as many of its trials are complete as a population has; of more, the first by number
/// count. Nothing else is kept: the state of the search is computed from the study's trials, so
/// that any process may go on with it.
class CmaEsSearcher : public Searcher {
 public:
  /// Throws ConfigError if no parameter is a number that is always there. The first trials are
  /// drawn around the middle of the ranges, with a sixth of each range as standard deviation. A
  /// population of 0 means 4 + floor(3 ln(parameters)).
  CmaEsSearcher(SearchSpace space, uint64_t seed, size_t population_size = 0);

  /// Throws ConfigError if the study has several objectives.
  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool uses_results() const override { return true; }

 private:
  static bool is_numeric(const SearchParameter& parameter);
  CmaEs state_after(const Study& study) const;
  std::vector<double> point_of(const Trial& trial) const;

  SearchSpace space_;
  uint64_t seed_;
  size_t population_size_;
};

}  // namespace levin
