#include <levin/framework/loggers/mlflow_items.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>

#include <ATen/ops/empty.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The same for all numbers that MLflow doesn't tell apart. Its databases have no infinities, but
/// the largest numbers instead.
uint64_t bits_at_mlflow(double value) {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  if (std::isinf(value)) value = std::copysign(DBL_MAX, value);
  return value == 0.0 ? 0 : std::bit_cast<uint64_t>(value);  // zeros of either sign are the same
}

bool is_metric(const MlflowItem& item) { return item.kind == MlflowItem::Kind::metric; }

}  // namespace

StateDict state_of_items(const std::vector<MlflowItem>& items) {
  StateDict state;
  Value::Array names;
  Value::Array others;
  const auto count = std::count_if(items.begin(), items.end(), is_metric);
  const auto values = at::empty({count}, at::kDouble);
  const auto steps_and_times = at::empty({count, 2}, at::kLong);
  auto* value = values.data_ptr<double>();
  auto* step_and_time = steps_and_times.data_ptr<int64_t>();
  for (const MlflowItem& item : items) {
    if (item.kind == MlflowItem::Kind::status) continue;
    if (!is_metric(item)) {
      others.push_back(Value::Object{
          {"kind", static_cast<int64_t>(item.kind)}, {"name", item.name}, {"text", item.text}});
      continue;
    }
    names.push_back(item.name);
    *value++ = item.value;
    *step_and_time++ = item.step;
    *step_and_time++ = item.milliseconds;
  }
  state.values["names"] = std::move(names);
  state.values["others"] = std::move(others);
  state.tensors["values"] = values;
  state.tensors["steps_and_times"] = steps_and_times;
  return state;
}

std::vector<MlflowItem> items_of_state(const StateDict& state) {
  std::vector<MlflowItem> items;
  for (const Value& other : state.values.at("others").as_array()) {
    items.push_back({static_cast<MlflowItem::Kind>(other.at("kind").as_int()),
                     other.at("name").as_string(), other.at("text").as_string()});
  }
  const auto& names = state.values.at("names").as_array();
  const auto values = state.tensor("values").contiguous();
  const auto steps_and_times = state.tensor("steps_and_times").contiguous();
  if (values.numel() != std::ssize(names) || steps_and_times.numel() != 2 * values.numel()) {
    throw CheckpointError::mismatch("the state of MlflowLogger",
                                    {"it has another number of names than of values"});
  }
  for (size_t i = 0; i < names.size(); ++i) {
    items.push_back({MlflowItem::Kind::metric,
                     names[i].as_string(),
                     {},
                     values.data_ptr<double>()[i],
                     steps_and_times.data_ptr<int64_t>()[2 * i],
                     steps_and_times.data_ptr<int64_t>()[2 * i + 1]});
  }
  return items;
}

MlflowHistory::MlflowHistory(int64_t time, const std::vector<MlflowItem>& unsent)
    : time_(time), earliest_(time + 1) {
  for (const MlflowItem& item : unsent) {
    if (is_metric(item)) earliest_ = std::min(earliest_, item.milliseconds);
  }
}

void MlflowHistory::add(const std::string& name, const std::vector<MlflowItem>& points) {
  points_[name];  // it is known from now on, even if there are none
  for (const MlflowItem& point : points) {
    if (point.milliseconds >= earliest_) put_back(point);
  }
}

bool MlflowHistory::take(const MlflowItem& item) {
  auto& points = points_[item.name];
  const auto [first, last] = points.equal_range({item.step, bits_at_mlflow(item.value)});
  const auto found = std::find_if(first, last, [&](const auto& point) {
    return item.milliseconds > time_ ? point.second > time_ : point.second == item.milliseconds;
  });
  if (found == last) return false;
  points.erase(found);
  return true;
}

void MlflowHistory::put_back(const MlflowItem& item) {
  points_[item.name].emplace(StepAndValue(item.step, bits_at_mlflow(item.value)),
                             item.milliseconds);
}

}  // namespace levin
