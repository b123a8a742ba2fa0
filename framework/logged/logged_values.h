#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/logged/log_options.h>
#include <levin/framework/logged/logged_metrics.h>
#include <levin/framework/logged/step_reading.h>
#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The values of an epoch, arranged so that one collective reduces them over all ranks.
struct PackedMetrics {
  /// Added up over the ranks. They are pairs: a sum of values, or 0 if there is none, and its
  /// weight, which is 0 on a rank that has logged nothing.
  std::vector<double> sums;
  /// The smallest value of all ranks is taken: infinity on a rank that has logged nothing.
  std::vector<double> minima;
  /// The largest value of all ranks is taken: -infinity on a rank that has logged nothing. The
  /// first element is 2 on a rank whose metrics with a state have still to be computed, 1 on one
  /// that has logged names the ranks haven't agreed on yet, and 0 on the others.
  std::vector<double> maxima;
};

/// Collects the values that are logged during one pass over the data. Users log through `Step::log`
/// and `Run::log`, which call this.
///
/// A tensor on a device is accumulated there and copied to the host when values are read. Once
/// every name has been seen, `log` allocates no memory and doesn't wait for a device. Not
/// thread-safe: the loop that owns the object makes all calls.
///
/// The loop calls begin_epoch, then for each batch begin_batch (and begin_window at the start of
/// each optimizer step) and the hooks, which log; then it reads step_values or epoch_values.
class LoggedValues {
 public:
  /// Selects the values that `step_values` and `epoch_values` return. `callbacks`: all values; a
  /// value that is logged both on_step and on_epoch is returned under its plain name as well.
  /// `logger`: those logged with `logger` = true. `progress_bar`: those logged with `prog_bar` =
  /// true.
  enum class For { callbacks, logger, progress_bar };

  /// Starts a pass over the data. Remembers the names and forgets all values, except those of steps
  /// that no row of the loggers has taken yet.
  void begin_epoch();
  /// Starts a batch of `rows` rows from loader `loader_index` of `loader_count`.
  void begin_batch(int64_t rows, int64_t loader_index, int64_t loader_count);
  /// Sets by how many rows the values that are logged from now on in this batch are weighted.
  void set_batch_size(int64_t rows) { rows_ = rows; }
  /// Starts an optimizer step, which has several batches with gradient accumulation. What the steps
  /// before it have logged stays for those who haven't read it yet: see `step_values`.
  void begin_window();
  /// Forgets the values of steps: until the next one logs, `step_values` returns none. The values
  /// of the epoch stay, and so do the values of steps that no row of the loggers has taken yet.
  void forget_step_values();
  /// Forgets the values of steps that no row of the loggers has taken yet.
  void forget_rows();

  /// Logs a one-element tensor of any shape, type and device. `on_step` and `on_epoch` apply if
  /// `options` doesn't set them. Throws ModuleError if the tensor doesn't have exactly one element,
  /// or if the name was logged before with other options. If that was in the run of the checkpoint
  /// that was loaded, the new options count, and the name's values of before are dropped.
  void log(std::string_view name, const torch::Tensor& value, const LogOptions& options,
           bool on_step, bool on_epoch);
  void log(std::string_view name, double value, const LogOptions& options, bool on_step,
           bool on_epoch);
  /// Logs a metric with a state, whose value of the epoch is computed at its end from the rows of
  /// all ranks: by default on_epoch and not on_step. See Step::log.
  void log(std::string_view name, Metric& metric, const LogOptions& options);

  // A step that is recorded once and then repeated (DeviceGraph) calls `log` only while it is
  // recorded. The recorded work begins each batch of the step with begin_recorded and ends with
  // end_recorded; in between, `log` only enqueues what the device has to do. Around each replay,
  // the loop calls prepare_recorded and, for each step of it, repeat_recorded, which do the host's
  // half.

  /// Makes the memory on `device` of all sums that such a step adds to, before it is recorded.
  void begin_recording(at::Device device);
  /// `rows`: those of each batch. `is_first`: the batch begins the step.
  void begin_recorded(int64_t rows, bool is_first);
  /// Throws ModuleError if a tensor was changed after it was logged.
  void end_recorded();
  /// In place of end_recorded, after an error.
  void drop_recorded();
  void prepare_recorded();
  void repeat_recorded();

  /// Logs a value that stands for all rows that this rank has seen in the epoch, without a loader's
  /// suffix. On a rank, a mean gives each of the values the same weight; the means of the ranks are
  /// weighted by their rows. With `batch_size` that is the weight instead, as in `log`.
  void log_epoch(std::string_view name, double value, const LogOptions& options);
  void log_epoch(std::string_view name, const torch::Tensor& value, const LogOptions& options);

  /// Returns the values of the current optimizer step, and those of earlier steps that weren't
  /// logged again since and that this function hasn't returned to `whom` yet: nothing that is
  /// logged only now and then gets lost between two rows. The batches of one step are combined as
  /// those of an epoch are. Waits for the device if values are on one.
  ///
  /// Adds to `fresh`, if given, the keys of the values that were logged since the last call for
  /// `whom`.
  MetricMap step_values(For whom, std::vector<std::string>* fresh = nullptr);
  /// The same as `step_values`, but waits for no device.
  StepReading begin_reading(For whom);
  /// Whether a value is on a device that `step_values` would wait for.
  bool has_values_on_device() const { return any_on_device_; }
  /// Returns the keys of the values of steps that are meant for the loggers and have no value of
  /// the epoch, and of which no row has ever had one.
  std::vector<std::string> without_row() const;
  /// Returns whether anything was logged on_step in the current optimizer step.
  bool has_step_values() const;

  // To combine the values of an epoch over all ranks, each rank calls `pack`, the collective
  // reduces the result, and `unpack` takes it back. If it returns false, the ranks call
  // `finish_metrics` if `await_metrics` says so, or else exchange `names` and call `agree`; then
  // they repeat the three steps.

  /// Returns this rank's values of the epoch, for the names that all ranks have agreed on.
  PackedMetrics pack();
  /// Replaces the values of the epoch by the reduced ones. Returns false and changes nothing if the
  /// ranks have to agree on names first.
  bool unpack(const PackedMetrics& packed);
  /// Whether metrics with a state have still to be computed on some rank.
  static bool await_metrics(const PackedMetrics& packed) { return packed.maxima.at(0) > 1.0; }
  /// Computes them from the rows of all ranks and logs their values. A collective.
  void finish_metrics(Ranks& ranks);
  /// Returns why values of metrics couldn't be computed; each is returned once.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }
  /// Returns the names that the ranks haven't agreed on yet, with their options, as JSON.
  std::string names() const;
  /// Adds the names of all ranks, in an order that is the same on every rank. `names_of_ranks[r]`
  /// is what rank r's `names` returned. Throws ModuleError if ranks logged a name with different
  /// options; what a checkpoint says of a name counts only if no rank has logged it since.
  void agree(const std::vector<std::string>& names_of_ranks);
  /// Returns the values of the epoch so far. Waits for the device if values are on one.
  MetricMap epoch_values(For whom);

  /// Combines the epoch's values with those of another rank, taken from its `state_dict`. Needed if
  /// a run resumes in the middle of an epoch with another number of ranks. Values of the current
  /// step aren't combined.
  void merge(const StateDict& other);
  /// The values and names, for a checkpoint in the middle of an epoch. Waits for the device if
  /// values are on one. After `load_state_dict`, the ranks have to agree on names again.
  StateDict state_dict();
  void load_state_dict(const StateDict& state);

 private:
  static constexpr int64_t kAnyLoader = -1;  // for a key without the loader's suffix
  /// A value that recorded work logs.
  struct Recorded {
    size_t slot;
    double weight;
  };
  /// One name, and the values logged under it.
  struct Slot {
    std::string name;  // as passed to log
    std::string key;   // with the loader's suffix
    std::string step_key;
    std::string epoch_key;
    int64_t loader_index = kAnyLoader;
    Reduce reduce = Reduce::mean;
    bool on_step = false;
    bool on_epoch = false;
    bool prog_bar = false;
    bool logger = true;
    bool in_window = false;
    bool in_epoch = false;
    bool is_whole = false;         // each value stands for all rows of the rank: log_epoch
    bool had_row = false;          // a row of the loggers had a value of a step
    bool is_loaded = false;        // from a checkpoint, and not logged since
    std::array<bool, 3> unread{};  // by For: whether step_values has yet to return the window
    double window = 0.0;  // of the last step: sum of value * weight, sum, minimum or maximum
    double window_weight = 0.0;
    double epoch = 0.0;
    double epoch_weight = 0.0;
    DeviceSum window_there;  // in place of `window`
    DeviceSum epoch_there;   // in place of `epoch`

    bool is_of(std::string_view other_name, int64_t other_loader_index) const {
      return loader_index == other_loader_index && name == other_name;
    }
  };
  /// The place of a name among the slots, or the number of slots if it has none.
  size_t find_slot(std::string_view name, int64_t loader_index) const;
  /// Finds the slot of a name, or adds one.
  Slot& slot(std::string_view name, const LogOptions& options, bool on_step, bool on_epoch,
             bool is_whole = false);
  Slot make_slot(std::string_view name, const LogOptions& options, bool on_step, bool on_epoch,
                 bool is_whole) const;
  Slot& epoch_slot(std::string_view name, const LogOptions& options);
  /// Begins the slot's value of a step, unless this step has logged one already.
  static void open_window(Slot& slot);
  void pack_whole(const Slot& slot, PackedMetrics& packed) const;
  bool has_unfinished_metrics() const { return !metrics_.is_empty() && !metrics_are_done_; }
  void set_value(std::string_view name, double value, const LogOptions& options, bool of_epoch);
  void add(Slot& slot, double value, double weight);
  void add_on_device(Slot& slot, const torch::Tensor& value, double weight);
  /// The two halves of that: what the host notes, and what the device computes.
  static void note(Slot& slot, double weight);
  /// Makes the memory of the slot's sums on a device, if it isn't there yet.
  static void make_sums(Slot& slot, at::Device device);
  static void combine_there(Slot& slot, const torch::Tensor& value, double weight,
                            bool opens_window, std::vector<DeferredValue>* deferred);
  /// Copies all values that are on devices to the host, in one transfer.
  void bring_to_host();
  static bool wanted(const Slot& slot, For whom);
  /// The part of a slot that doesn't change: names and options.
  void agree_on(const Value& item, bool loaded, size_t first);
  static Value describe(const Slot& slot);
  static Slot slot_of(const Value& value);

  std::vector<Slot> slots_;
  size_t agreed_ = 0;  // how many slots, from the first, all ranks have in the same order
  size_t cursor_ = 0;  // the slot of the next `log` if this batch logs like the last one
  int64_t rows_ = 1;
  int64_t epoch_rows_ = 0;  // that this rank has seen in the pass
  int64_t loader_index_ = 0;
  int64_t loader_count_ = 1;
  bool any_on_device_ = false;
  bool is_recording_ = false;
  LoggedMetrics metrics_;
  bool metrics_are_done_ = false;  // their values of the epoch have been logged
  std::vector<std::string> notes_;
  std::vector<DeferredValue> deferred_;
  std::vector<Recorded> recorded_;  // what the recorded work logs, in order
};

}  // namespace levin
