#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Metrics by name, as `validate`, `test` and `Run::metrics` give them.
using MetricMap = std::map<std::string, double, std::less<>>;

/// How the values of an epoch become one. `mean` is weighted by rows.
enum class Reduce { mean, sum, min, max };

/// Options of `log`; the defaults of on_step and on_epoch are the hook's. Lightning: self.log.
struct LogOptions {
  /// Log the value of this step (with accumulation: of its window); key `name`, or `name_step`
  /// where on_epoch is set too.
  std::optional<bool> on_step{};
  /// Log the epoch's value; key `name`, or `name_epoch` where on_step is set too.
  std::optional<bool> on_epoch{};
  Reduce reduce = Reduce::mean;
  /// Show it in the progress bar.
  bool prog_bar = false;
  /// Hand it to the loggers.
  bool logger = true;
  /// Rows the value stands for; nothing: the batch's.
  std::optional<int64_t> batch_size{};
  /// With several loaders, add "/dataloader_idx_i" to the key.
  bool add_dataloader_idx = true;
};

/// What an epoch's values are packed into so that one collective reduces them over all ranks.
struct PackedMetrics {
  std::vector<double> sums;
  std::vector<double> minima;
  std::vector<double> maxima;  // the first: whether a rank has names that others may lack
};

/// Collects what is logged during one pass over the data. A value on a device stays there until a
/// value is asked for; `log` neither allocates nor synchronises once each name was seen.
class LoggedValues {
 public:
  /// Which values `step_values` and `epoch_values` give.
  enum class For { callbacks, logger, progress_bar };

  /// Starts a pass: forgets all values, keeps the names' places.
  void begin_epoch();
  /// Starts a batch of `rows` rows from loader `loader_index` of `loader_count`.
  void begin_batch(int64_t rows, int64_t loader_index, int64_t loader_count);
  /// Starts a step: what was logged for the last window is no longer current.
  void begin_window();

  /// Logs a one-element tensor. `on_step` and `on_epoch` are the hook's defaults.
  /// Throws ModuleError for another shape, or a name logged before with other options.
  void log(std::string_view name, const torch::Tensor& value, const LogOptions& options,
           bool on_step, bool on_epoch);
  void log(std::string_view name, double value, const LogOptions& options, bool on_step,
           bool on_epoch);
  /// Logs a value of the epoch as a whole, weight 1.
  void log_epoch(std::string_view name, double value, const LogOptions& options);

  /// The values of the window just ended; a row-weighted mean where it had several batches.
  MetricMap step_values(For whom);
  /// Whether anything was logged on_step.
  bool has_step_values() const;

  /// Brings the epoch's values to the host, packed for a reduction over ranks: those of the names
  /// that all ranks agreed on.
  PackedMetrics pack();
  /// Takes the reduced values back; false, and nothing is taken, where ranks have to agree first.
  bool unpack(const PackedMetrics& packed);
  /// The names logged so far and how, as JSON.
  std::string names() const;
  /// Takes up what `names` gave on each rank, in an order that is the same everywhere. Throws
  /// ModuleError where ranks logged a name in different ways.
  void agree(const std::vector<std::string>& names_of_ranks);
  /// The epoch's values so far.
  MetricMap epoch_values(For whom);

  /// Adds another rank's values of the epoch, as its state_dict has them.
  void merge(const StateDict& other);
  StateDict state_dict();
  void load_state_dict(const StateDict& state);

 private:
  static constexpr int64_t kAnyLoader = -1;  // of a name without the loader's suffix
  struct Slot {
    std::string name;  // as given to log
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
    double window = 0.0;  // sum of value * weight, sum, minimum or maximum
    double window_weight = 0.0;
    double epoch = 0.0;
    double epoch_weight = 0.0;
    torch::Tensor window_on_device;  // [] float64, newer than `window` where defined
    torch::Tensor epoch_on_device;   // the same of `epoch`
  };
  Slot& slot(std::string_view name, const LogOptions& options, bool on_step, bool on_epoch);
  Slot& add_slot(std::string_view name, const LogOptions& options, bool on_step, bool on_epoch);
  void add(Slot& slot, double value, double weight);
  void add_on_device(Slot& slot, const torch::Tensor& value, double weight);
  void bring_to_host();
  static bool wanted(const Slot& slot, For whom);
  static Value describe(const Slot& slot);
  static Slot slot_of(const Value& value);

  std::vector<Slot> slots_;
  size_t agreed_ = 0;  // the first slots, which all ranks have in this order
  size_t cursor_ = 0;  // where the next log call's slot is, if the calls come in the same order
  int64_t rows_ = 1;
  int64_t loader_index_ = 0;
  int64_t loader_count_ = 1;
  bool any_on_device_ = false;
};

}  // namespace levin
