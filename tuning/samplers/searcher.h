#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/core/value.h>
#include <levin/tuning/samplers/random_source.h>
#include <levin/tuning/space/search_space.h>
#include <levin/tuning/study/trial.h>

namespace levin {

/// What a searcher chose for a trial.
struct Suggestion {
  /// Of the parameters that are there, in their internal form.
  ParameterValues parameters{};
  /// What the searcher has to know of the trial later; they belong to the trial in the study.
  Value::Object system_attributes{};
};

/// Chooses the parameters of the next trial. A searcher keeps no state between two calls: what it
/// chooses depends on its options, the number of the trial and what the study holds, so that any
/// process can go on with a study.
class Searcher {
 public:
  virtual ~Searcher() = default;

  /// Returns the parameters of trial `number` of the study, which may already be among its trials;
  /// nothing if there is none left to try (grid).
  virtual std::optional<Suggestion> suggest(const Study& study, int64_t number) const = 0;
  /// Whether the choice depends on what came of other trials. If it doesn't, the same seed gives
  /// the same study whatever the number of workers.
  virtual bool uses_results() const = 0;
  /// Whether the searcher counts places in its sequence instead of trials. A trial that takes over
  /// from a failed one then gets that one's number, so that each place is tried.
  virtual bool counts_places() const { return !uses_results(); }
  /// Whether the trial can be chosen now; false if a trial that it depends on still runs.
  virtual bool is_ready(const Study& study, int64_t number) const {
    (void)study;
    (void)number;
    return true;
  }
};

/// Returns the value of a distribution at a place from 0 to 1 of its range: evenly, or evenly in
/// the logarithm. All values of a range of whole numbers, of steps or of choices get equal parts.
double value_at(const Distribution& distribution, double place);

/// Returns random values for all parameters of a space, those that aren't there included, so that
/// each has its own place in the sequence of random numbers.
ParameterValues random_values(const SearchSpace& space, RandomSource& random);

}  // namespace levin
