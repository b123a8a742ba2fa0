#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// One number of a metric.
struct MetricValue {
  /// What is added to the name under which the metric is logged: "" if the metric is one number,
  /// "_cat" for that of the class "cat", and "_0" if classes have no names.
  std::string suffix;
  double value = 0.0;
  /// Why there is no number, such as "there are no rows of class cat"; empty if there is one.
  std::string missing{};
};

/// A number that measures predictions and can't be had as the mean of those of batches, such as an
/// F score or the area under the ROC curve. It keeps what it needs of the rows, its state, on their
/// device; the number is that of all rows at once, however they were cut into batches and ranks.
/// torchmetrics: Metric.
///
///     levin::FBetaScore f2_{{.beta = 2.0}};                          // a member of the module
///     void validation_step(const levin::Batch& batch, levin::Step& step) override {
///       f2_.update(forward(batch.input()).softmax(1), batch.target());
///       step.log("val_f2", f2_);        // logged at the epoch's end, over all ranks; then reset
///     }
///
/// It also works by itself: `update` for each batch, then `value` or `compute`, and `reset`.
///
/// To write one, derive from ClassMetric or RegressionMetric, name the parts of the state in the
/// constructor, and override `name`, `compute` and `add_classes` or `add_values`. States of ranks
/// are added up (a sum) or put one below the other (rows), so no code for that is needed.
class Metric {
 public:
  Metric() = default;
  virtual ~Metric();
  Metric(const Metric&) = delete;
  Metric& operator=(const Metric&) = delete;
  /// So that a module with metrics can be moved.
  Metric(Metric&& other) noexcept;

  /// Adds rows. `predictions` and `targets` have the shapes that the class says; `weights`, if
  /// given, are [rows], by which the rows count, or [rows, 1]. Any floating-point type will do.
  /// Nothing is kept of the tensors themselves, no gradient is recorded, and there is no wait for a
  /// device. Throws DataError if shapes don't fit each other.
  void update(const torch::Tensor& predictions, const torch::Tensor& targets,
              const torch::Tensor& weights = {});
  /// Returns the numbers of all rows since the last `reset`, in a fixed order; none if there are no
  /// rows, or if the weights of all are 0. Waits for the device.
  virtual std::vector<MetricValue> compute() const = 0;
  /// Returns the number of a metric that is one; NaN if there is none. Throws ModuleError for a
  /// metric of several numbers.
  double value() const;
  /// Forgets all rows. The memory of sums stays, because captured steps (CUDA graphs) add to it.
  void reset();

  /// Adds the rows of another metric of the same class and settings, given its state.
  void merge(const StateDict& state);
  /// The state: sums by name, and rows of all batches in one tensor.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// Returns the numbers of the rows of all these states together. The metric stays as it is.
  std::vector<MetricValue> compute_of(const std::vector<StateDict>& states);

  /// The name in the list of metrics, which error messages use as well.
  virtual std::string name() const = 0;
  /// The settings by which the list of metrics makes such a metric.
  virtual Value settings() const { return Value::Object{}; }
  /// Whether `update` may be part of a step that is captured in a CUDA graph: true if the state is
  /// sums, which have a fixed size, and false if it is rows.
  bool is_capturable() const;

  /// Makes `compute_batch` possible, from the next `update` on. `Step::log` calls this for metrics
  /// that are logged on_step.
  void keep_batches() { keeps_batches_ = true; }
  bool keeps_batches() const { return keeps_batches_; }
  /// Returns the numbers of the rows of the last `update` alone.
  std::vector<MetricValue> compute_batch();

  /// Who logs the metric, so that only one pass over data adds rows to it at a time; null: nobody.
  /// LoggedMetrics sets it.
  const void* logged_by() const { return logged_by_; }
  void set_logged_by(const void* owner) { logged_by_ = owner; }
  /// Where the metric is: a pointer that follows it if it is moved, and is null once it is gone.
  std::shared_ptr<Metric*> place();

 protected:
  /// What `update` does; tensors need no gradient here.
  virtual void add(const torch::Tensor& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) = 0;
  /// Calls `add` (), which adds rows to the state, and keeps their part if `compute_batch` needs
  /// it.
  template <class Add>
  void add_batch(const Add& add) {
    begin_batch();
    add();
    end_batch();
  }

  // The parts of the state, numbered in the order in which a constructor names them.

  void name_sum(std::string name) { parts_.push_back({std::move(name), false, {}, {}}); }
  void name_rows(std::string name) { parts_.push_back({std::move(name), true, {}, {}}); }
  /// A sum, to be added to in place; zeros of that shape and type on that device at first.
  const torch::Tensor& sum(size_t part, at::IntArrayRef sizes, at::ScalarType type,
                           at::Device device);
  /// A sum on the CPU; undefined if there were no rows.
  torch::Tensor sum(size_t part) const;
  /// Keeps rows [rows, ...]. Give a tensor that nobody else writes to.
  void keep_rows(size_t part, torch::Tensor rows) { parts_[part].rows.push_back(std::move(rows)); }
  /// All rows on the CPU; undefined if there are none.
  torch::Tensor rows(size_t part) const;

 private:
  struct Part {
    std::string name;
    bool is_rows;
    torch::Tensor sum;
    std::vector<torch::Tensor> rows;
  };
  std::vector<Part> empty_parts() const;
  void begin_batch();
  void end_batch();

  std::vector<Part> parts_;
  std::vector<Part> others_;  // within `update`, the rows before; afterwards those of the batch
  std::shared_ptr<Metric*> place_;
  const void* logged_by_ = nullptr;
  bool keeps_batches_ = false;
};

/// Returns `weights` as [rows] float64, or undefined if they are. Throws DataError unless there is
/// one for each of the rows. `who` is the metric's name.
torch::Tensor row_weights_of(const torch::Tensor& weights, int64_t rows, const std::string& who);

}  // namespace levin
