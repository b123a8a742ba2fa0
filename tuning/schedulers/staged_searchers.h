#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <levin/tuning/samplers/searcher.h>
#include <levin/tuning/schedulers/population.h>

namespace levin {

/// System attributes by which a staged search says how a trial is trained.
/// The trial ends when it has trained so many epochs in all.
constexpr const char* kUntilEpochAttribute = "levin:until_epoch";
/// Whether the trial belongs to the last stage. It is complete at its end then; the trials of other
/// stages are recorded as pruned, with the value that they have reached.
constexpr const char* kIsFinalAttribute = "levin:is_final";
/// The number of the trial from whose checkpoint this one goes on; none: it begins anew.
constexpr const char* kGoesOnFromAttribute = "levin:goes_on_from";
/// The place of a trial in the search, counted over all stages from 0.
constexpr const char* kPlaceAttribute = "levin:place";

/// A search in stages: the trials of a stage are chosen when all of the stage before have ended,
/// and may go on from their checkpoints. The study has one objective. What is chosen depends on
/// nothing but the seed and the results, so the same trials give the same study, whatever the
/// number of workers.
class StagedSearcher : public Searcher {
 public:
  struct Stage {
    int64_t trials = 0;
    int64_t until_epoch = 0;
  };

  explicit StagedSearcher(std::vector<Stage> stages) : stages_(std::move(stages)) {}

  /// `number` is a place; trials that take over from failed ones have the place of those.
  std::optional<Suggestion> suggest(const Study& study, int64_t number) const override;
  bool is_ready(const Study& study, int64_t number) const override;
  bool uses_results() const override { return true; }
  bool counts_places() const override { return true; }
  const std::vector<Stage>& stages() const { return stages_; }
  /// The number of trials of all stages.
  int64_t size() const;

 protected:
  /// What a trial is to do: its parameters, and the trial of the stage before from which it goes
  /// on.
  struct Choice {
    ParameterValues parameters{};
    const Trial* source = nullptr;
  };

  /// The parameters of a trial of the first stage. Nothing: the search has no more of them.
  virtual std::optional<ParameterValues> first(const Study& study, int64_t index) const = 0;
  /// Chooses trial `index` of a later stage. `before` are the trials of the stage before it, in the
  /// order of their places; each has ended.
  virtual Choice next(const Study& study, size_t stage, int64_t index,
                      const std::vector<const Trial*>& before) const = 0;

 private:
  std::vector<Stage> stages_;
};

/// Population based training (see exchange_in_population): a stage is the whole population, which
/// trains for `interval` epochs. Members of the worst quarter then go on from the checkpoint of one
/// of the best, with changed parameters.
class PopulationSearcher : public StagedSearcher {
 public:
  /// Throws ConfigError if the population has fewer than 2 members, or interval or max_epochs is
  /// below 1.
  PopulationSearcher(SearchSpace space, int64_t population, int64_t interval, int64_t max_epochs,
                     PopulationOptions options);

 protected:
  std::optional<ParameterValues> first(const Study& study, int64_t index) const override;
  Choice next(const Study& study, size_t stage, int64_t index,
              const std::vector<const Trial*>& before) const override;

 private:
  SearchSpace space_;
  PopulationOptions options_;
};

/// Successive halving as scikit-learn's HalvingGridSearchCV and HalvingRandomSearchCV do it, with
/// epochs as the resource (see halving_schedule): in each stage, the best of the stage before train
/// for `factor` times as many epochs. Unlike there, they go on from where they were.
class HalvingSearcher : public StagedSearcher {
 public:
  /// Takes its first candidates from another searcher, which must not use results. Throws
  /// ConfigError as halving_schedule does. `min_epochs` of 0 means scikit-learn's "exhaust".
  HalvingSearcher(std::unique_ptr<Searcher> source, int64_t candidates, int64_t min_epochs,
                  int64_t max_epochs, double factor);

 protected:
  std::optional<ParameterValues> first(const Study& study, int64_t index) const override;
  Choice next(const Study& study, size_t stage, int64_t index,
              const std::vector<const Trial*>& before) const override;

 private:
  std::unique_ptr<Searcher> source_;
};

}  // namespace levin
