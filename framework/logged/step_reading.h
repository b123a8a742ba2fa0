#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// What `LoggedValues::step_values` would return, of which a part is still on its way to the host.
class StepReading {
 public:
  /// The values by name. To be called once their copies are there: when the device has done what
  /// was enqueued before `LoggedValues::begin_reading` returned.
  std::map<std::string, double, std::less<>> finish() const;

 private:
  friend class LoggedValues;
  struct Value {
    std::string key;
    bool is_mean;
    double weight;
    double on_host;
    int64_t place;  // in `copies_`; -1: the value is `on_host`
  };
  std::vector<Value> values_;
  torch::Tensor copies_;  // [n] float64, pinned
};

/// A sum of logged values that is kept on a device.
struct DeviceSum {
  /// [] float64, always the same memory; undefined until it is needed.
  torch::Tensor value;
  /// Whether it replaces the number on the host.
  bool is_current = false;
};

/// A value that recorded work adds to its sums in a kernel that comes later.
struct DeferredValue {
  std::string name;
  /// Kept, so that its memory isn't used for something else before.
  torch::Tensor value;
  /// How often the tensor had been changed when it was logged.
  int64_t version;
};

}  // namespace levin
