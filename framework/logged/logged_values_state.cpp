#include <levin/framework/logged/logged_values.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/logged/reduce.h>

// How the ranks combine their metrics, and how checkpoints store them.

namespace levin {

Value to_value(const MetricMap& metrics) {
  Value::Object object;
  for (const auto& [name, value] : metrics) object.emplace(name, value);
  return object;
}

MetricMap to_metrics(const Value& object) {
  MetricMap metrics;
  for (const auto& [name, value] : object.as_object()) metrics[name] = value.as_double();
  return metrics;
}

Value counts_to_value(const UpdateCounts& counts) {
  Value::Object object;
  for (const auto& [name, count] : counts) object.emplace(name, count);
  return object;
}

UpdateCounts to_counts(const Value& object) {
  UpdateCounts counts;
  for (const auto& [name, count] : object.as_object()) counts[name] = count.as_int();
  return counts;
}

PackedMetrics LoggedValues::pack() {
  bring_to_host();
  PackedMetrics packed;
  packed.maxima.push_back(has_unfinished_metrics() ? 2.0 : agreed_ < slots_.size() ? 1.0 : 0.0);
  for (size_t i = 0; i < agreed_; ++i) {
    const Slot& slot = slots_[i];
    if (!slot.on_epoch) continue;
    if (slot.is_whole) {
      pack_whole(slot, packed);
      continue;
    }
    const bool is_sum = slot.reduce != Reduce::min && slot.reduce != Reduce::max;
    if (slot.reduce == Reduce::min) packed.minima.push_back(slot.epoch);
    if (slot.reduce == Reduce::max) packed.maxima.push_back(slot.epoch);
    packed.sums.push_back(is_sum ? slot.epoch : 0.0);
    packed.sums.push_back(slot.epoch_weight);
  }
  return packed;
}

/// Packs a mean over values that stand for all rows of a rank. A rank without rows has nothing to
/// say. The smallest and the largest mean travel with the sum, so that ranks that all have the same
/// value end with just that value, to the last bit.
void LoggedValues::pack_whole(const Slot& slot, PackedMetrics& packed) const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool counts = slot.in_epoch && epoch_rows_ > 0;
  const double rows = counts ? static_cast<double>(epoch_rows_) : 0.0;
  const double mean = counts ? slot.epoch / slot.epoch_weight : 0.0;
  packed.sums.push_back(mean * rows);
  packed.sums.push_back(rows);
  packed.minima.push_back(counts ? mean : kInfinity);
  packed.maxima.push_back(counts ? mean : -kInfinity);
}

bool LoggedValues::unpack(const PackedMetrics& packed) {
  if (packed.maxima.at(0) > 0.0) return false;
  size_t sum = 0;
  size_t minimum = 0;
  size_t maximum = 1;
  for (size_t i = 0; i < agreed_; ++i) {
    Slot& slot = slots_[i];
    if (!slot.on_epoch) continue;
    if (slot.is_whole) {
      const double total = packed.sums.at(sum++);
      const double rows = packed.sums.at(sum++);
      const double lowest = packed.minima.at(minimum++);
      const double highest = packed.maxima.at(maximum++);
      if (!(rows > 0.0)) continue;  // no rank has rows, so each keeps its own value
      slot.epoch = lowest == highest ? lowest : total / rows;
      slot.epoch_weight = 1.0;
      slot.in_epoch = true;
      continue;
    }
    slot.epoch = packed.sums.at(sum++);
    slot.epoch_weight = packed.sums.at(sum++);
    if (slot.reduce == Reduce::min) slot.epoch = packed.minima.at(minimum++);
    if (slot.reduce == Reduce::max) slot.epoch = packed.maxima.at(maximum++);
    slot.in_epoch = slot.in_epoch || slot.epoch_weight > 0.0;
  }
  return true;
}

/// What the values are that the ranks haven't agreed on yet. One that comes from a checkpoint and
/// wasn't logged since is marked, because it says nothing of how this run logs it.
std::string LoggedValues::names() const {
  Value::Array names;
  for (size_t i = agreed_; i < slots_.size(); ++i) {
    Value item;
    item["slot"] = describe(slots_[i]);
    item["is_loaded"] = slots_[i].is_loaded;
    names.push_back(std::move(item));
  }
  return Value(std::move(names)).to_json();
}

void LoggedValues::agree(const std::vector<std::string>& names_of_ranks) {
  const size_t first = agreed_;
  for (const bool loaded : {false, true}) {  // how this run logs a value counts first
    for (const std::string& names : names_of_ranks) {
      const Value parsed = Value::from_json(names);
      for (const Value& item : parsed.as_array()) {
        if (item.at("is_loaded").as_bool() == loaded) agree_on(item.at("slot"), loaded, first);
      }
    }
  }
  if (names_of_ranks.size() > 1) {  // from here on, no rank may log them in another way by itself
    for (size_t i = first; i < agreed_; ++i) slots_[i].is_loaded = false;
  }
  cursor_ = 0;
}

/// Gives the value that `item` describes the next place, unless it has one already. `loaded` says
/// that the description is that of a checkpoint; places from `first` on are given now.
void LoggedValues::agree_on(const Value& item, bool loaded, size_t first) {
  Slot other = slot_of(item);
  const size_t place = find_slot(other.name, other.loader_index);
  const auto refuse_unless_same = [&](const Slot& slot) {
    if (loaded || describe(slot) == item) return;
    throw ModuleError::contract(fmt::format("log(\"{}\")", other.name),
                                "it was logged with other options on another rank",
                                "use the same options on every rank");
  };
  if (place < agreed_) {  // an earlier rank in the list has the name as well
    if (place >= first) refuse_unless_same(slots_[place]);
    return;
  }
  if (place == slots_.size()) {
    slots_.push_back(std::move(other));
  } else if (slots_[place].is_loaded && describe(slots_[place]) != item) {
    slots_[place] =
        std::move(other);  // what the checkpoint has of it is dropped, as in one process
  } else {
    refuse_unless_same(slots_[place]);
  }
  std::rotate(slots_.begin() + static_cast<std::ptrdiff_t>(agreed_),
              slots_.begin() + static_cast<std::ptrdiff_t>(place),
              slots_.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  ++agreed_;
}

Value LoggedValues::describe(const Slot& slot) {
  Value item;
  item["name"] = slot.name;
  item["key"] = slot.key;
  item["step_key"] = slot.step_key;
  item["epoch_key"] = slot.epoch_key;
  item["loader_index"] = slot.loader_index;
  item["reduce"] = static_cast<int>(slot.reduce);
  item["on_step"] = slot.on_step;
  item["on_epoch"] = slot.on_epoch;
  item["prog_bar"] = slot.prog_bar;
  item["logger"] = slot.logger;
  item["is_whole"] = slot.is_whole;
  return item;
}

LoggedValues::Slot LoggedValues::slot_of(const Value& item) {
  Slot slot;
  slot.name = item.at("name").as_string();
  slot.key = item.at("key").as_string();
  slot.step_key = item.at("step_key").as_string();
  slot.epoch_key = item.at("epoch_key").as_string();
  slot.loader_index = item.at("loader_index").as_int();
  slot.reduce = static_cast<Reduce>(item.at("reduce").as_int());
  slot.on_step = item.at("on_step").as_bool();
  slot.on_epoch = item.at("on_epoch").as_bool();
  slot.prog_bar = item.at("prog_bar").as_bool();
  slot.logger = item.at("logger").as_bool();
  slot.is_whole = item.contains("is_whole") && item.at("is_whole").as_bool();
  slot.window = slot.epoch = start_of(slot.reduce);
  return slot;
}

StateDict LoggedValues::state_dict() {
  bring_to_host();
  Value::Array slots;
  for (const auto& slot : slots_) {
    Value item = describe(slot);
    item["in_window"] = slot.in_window;
    item["in_epoch"] = slot.in_epoch;
    item["window"] = slot.window;
    item["window_weight"] = slot.window_weight;
    item["epoch"] = slot.epoch;
    item["epoch_weight"] = slot.epoch_weight;
    item["had_row"] = slot.had_row;
    Value::Array unread;
    for (const bool one : slot.unread) unread.emplace_back(one);
    item["unread"] = std::move(unread);
    slots.push_back(std::move(item));
  }
  StateDict state;
  state.values["slots"] = std::move(slots);
  state.values["rows"] = epoch_rows_;
  if (has_unfinished_metrics()) state.add("metrics", metrics_.state_dict());
  return state;
}

void LoggedValues::merge(const StateDict& other) {
  LoggedValues metrics;
  metrics.load_state_dict(other);
  bring_to_host();
  epoch_rows_ += metrics.epoch_rows_;
  metrics_.merge(other.child("metrics"));
  for (Slot& added : metrics.slots_) {
    const size_t place = find_slot(added.name, added.loader_index);
    if (place == slots_.size()) {
      slots_.push_back(std::move(added));
    } else if (added.in_epoch) {
      Slot& own = slots_[place];
      own.epoch = combine(own.reduce, own.epoch, added.epoch, 1.0);
      own.epoch_weight += added.epoch_weight;
      own.in_epoch = true;
    }
  }
}

void LoggedValues::load_state_dict(const StateDict& state) {
  slots_.clear();
  agreed_ = 0;
  epoch_rows_ = state.values.contains("rows") ? state.values.at("rows").as_int() : 0;
  metrics_.load_state_dict(state.child("metrics"));
  metrics_are_done_ = false;
  if (!state.values.contains("slots")) return;
  for (const auto& item : state.values.at("slots").as_array()) {
    Slot slot = slot_of(item);
    slot.in_window = item.at("in_window").as_bool();
    slot.in_epoch = item.at("in_epoch").as_bool();
    slot.window = item.at("window").as_double();
    slot.window_weight = item.at("window_weight").as_double();
    slot.epoch = item.at("epoch").as_double();
    slot.epoch_weight = item.at("epoch_weight").as_double();
    slot.is_loaded = true;
    if (item.contains("unread")) {
      const auto& unread = item.at("unread").as_array();
      for (size_t i = 0; i < slot.unread.size(); ++i) {
        slot.unread[i] = i < unread.size() && unread[i].as_bool();
      }
      slot.had_row = item.at("had_row").as_bool();
    }
    slots_.push_back(std::move(slot));
  }
}

}  // namespace levin
