#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// A thing that is sent to an MLflow server.
struct MlflowItem {
  enum class Kind { metric, setting, file, text, status };
  Kind kind = Kind::metric;
  std::string name = {};
  std::string text = {};  // a setting's value, a file's path or content, a status
  double value = 0.0;
  int64_t step = 0;
  int64_t milliseconds = 0;  // since 1970
};

/// The items as a state, without those that tell a run's status.
StateDict state_of_items(const std::vector<MlflowItem>& items);
/// The items of such a state. Throws CheckpointError if it isn't one.
std::vector<MlflowItem> items_of_state(const StateDict& state);

/// The values of metrics that a server has from the process that a resumed run goes on for. They
/// tell which values needn't be sent again.
///
/// A process that was killed may have sent values after its last checkpoint. The resumed run
/// computes them again, at other times. What the checkpoint knew to be unsent may have arrived
/// since, with the time that it had.
class MlflowHistory {
 public:
  /// `time` is that of the checkpoint, in milliseconds since 1970: what has a later time was logged
  /// after it. `unsent` is what hadn't been sent by then.
  MlflowHistory(int64_t time, const std::vector<MlflowItem>& unsent);

  /// Whether `add` has been called for this metric.
  bool knows(const std::string& name) const { return points_.contains(name); }
  /// Adds what the server has of a metric.
  void add(const std::string& name, const std::vector<MlflowItem>& points);
  /// Whether the server has this value of a metric, which then counts as sent: another one with
  /// the same step and value isn't.
  bool take(const MlflowItem& item);
  /// Takes back that of a `take` that was true.
  void put_back(const MlflowItem& item);

 private:
  using StepAndValue = std::pair<int64_t, uint64_t>;

  const int64_t time_;
  int64_t earliest_ = 0;  // what was logged before this isn't logged again
  std::map<std::string, std::multimap<StepAndValue, int64_t>> points_;  // to their times
};

}  // namespace levin
