#pragma once

#include <cstdint>
#include <string>

#include <levin/framework/core/class_list.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// A rule by which ranks that have trained by themselves for some steps become one model again.
/// Between two meetings, each rank takes steps with the gradients of its own rows. In a meeting,
/// the ranks compute the mean of their weights, in which a rank counts by the rows that it has had
/// since the last one, and all of them go on from what `next` makes of it.
///
///     if (++steps == averaging.period()) weight = averaging.next("weight", last, mean_of_ranks);
///
/// LocalSteps does the work between the ranks. The rule sees whole parameters, one after the other,
/// and the same values on every rank, so all ranks get the same bits.
class ModelAveraging {
 public:
  virtual ~ModelAveraging() = default;

  /// The number of steps from one meeting to the next, at least 1.
  int64_t period() const { return period_; }
  /// After how many steps at most the ranks exchange the flags of Ranks::any_after_step, such as
  /// that a signal has arrived; at least 1. They do so in each meeting, too.
  int64_t flags_every() const { return flags_every_; }
  /// The number of the first step that ranks take by themselves, counted from 0. Before it, they
  /// sum gradients in each step.
  virtual int64_t start() const { return 0; }
  /// Whether `next` needs the weights that the ranks had after the last meeting.
  virtual bool needs_last() const { return false; }
  /// Returns the weights of one parameter, [...], from which all ranks go on. `last` are those
  /// after the last meeting, undefined unless `needs_last`, and `mean` is the mean of the ranks';
  /// all of them are float32 or float64. `mean` may be overwritten.
  virtual torch::Tensor next(const std::string& name, const torch::Tensor& last,
                             const torch::Tensor& mean);

  /// What is remembered from meeting to meeting; the same on all ranks.
  virtual StateDict state_dict() const { return {}; }
  /// Goes on from `state`. What is missing in it begins anew.
  virtual void load_state_dict(const StateDict& /*state*/) {}

 protected:
  /// Throws ConfigError if one of the two is less than 1.
  ModelAveraging(int64_t period, int64_t flags_every);

 private:
  int64_t period_;
  int64_t flags_every_;
};

/// The rules by name, with their settings.
using ModelAveragingList = ClassList<ModelAveraging>;

/// The rules that Levin ships: local_sgd, post_local_sgd and diloco. This list is the only place
/// that names them.
const ModelAveragingList& shipped_model_averagings();

/// Whether `averaging` is one of shipped_model_averagings; false for "none". Throws ConfigError for
/// an unknown name, and for settings that the rule doesn't have or refuses.
bool averages_models(const NamedSettings& averaging);

}  // namespace levin
