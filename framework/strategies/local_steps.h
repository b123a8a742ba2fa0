#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/profiling/communication.h>
#include <levin/framework/strategies/group_ranks.h>

namespace levin {

class Module;
class Profiler;

/// What LocalSteps needs to know besides its rule.
struct LocalStepsOptions {
  /// Weights are sent in pieces of about this many bytes.
  size_t bucket_bytes = size_t{25} << 20;
  /// Whether buffers of floating-point types, such as running means, are averaged like the weights,
  /// and the others become rank 0's. If not, each rank keeps its own.
  bool averages_buffers = true;
};

/// Lets ranks take steps by themselves, and makes them one model again after every `period` of
/// them, by a ModelAveraging. A strategy owns it (Strategy::local_steps).
///
///     LocalSteps steps(ranks, shipped_model_averagings().make("local_sgd", {}));
///     steps.begin(module);                            // on every rank
///     for (...) {
///       steps.own_weights();                          // if others were shown
///       steps.begin_step(global_step);
///       ...                                           // backward and the optimizer
///       steps.count_rows(rows);
///       steps.end_step();                             // a meeting, if one is due
///     }
///     steps.show_mean();                              // before the module is evaluated or saved
///
/// Whoever reads the weights between two meetings wants one model, the same on all ranks. For that,
/// `show_mean` lends the module the mean of the ranks, and `own_weights` puts back each rank's own,
/// so that training goes on as if nobody had looked. A parameter that was changed in between, say
/// by weights that were loaded, keeps the new values on all ranks.
///
/// Weights are averaged in float32, or float64 if that is their type. Only parameters that require
/// gradients are. All calls come from the thread that trains.
class LocalSteps {
 public:
  /// `ranks` must live longer.
  LocalSteps(GroupRanks& ranks, std::unique_ptr<ModelAveraging> averaging,
             LocalStepsOptions options = {});
  ~LocalSteps();

  const ModelAveraging& averaging() const { return *averaging_; }
  /// Begins a new training with the module's weights, which are the same on all ranks. Keeps its
  /// tensors.
  void begin(Module& module);
  /// Reports each exchange to `profiler` (Profiler::reduced) from the next `begin` on; null: to
  /// nobody.
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  /// The step with this number begins, counted from 0 over the whole training.
  void begin_step(int64_t step);
  /// Whether this rank takes the step that has begun by itself.
  bool are_local() const { return is_local_; }
  /// Whether any step was taken by ranks alone in this training, so that the optimizers of the
  /// ranks have different states.
  bool have_begun() const { return have_begun_; }
  /// Counts rows of which this rank has gradients; the mean weights it by them.
  void count_rows(double rows) { rows_ += is_local_ ? rows : 0.0; }
  /// Ends the step. A collective in every `period`-th step that ranks take alone, and whenever
  /// flags are exchanged.
  void end_step();
  /// Puts the mean of the ranks into the module, until `own_weights`. Does nothing if they are the
  /// same. A collective.
  void show_mean();
  /// Puts this rank's own weights back, if the mean is shown.
  void own_weights();

  /// The bytes that this rank has sent since `begin`, counted as for an all-reduce in a ring.
  int64_t sent_bytes() const { return bytes_; }
  /// What this rank adds to a checkpoint: its own weights if the last meeting isn't the last step,
  /// and, on rank 0, the state of the rule. The module of the checkpoint has to have the mean.
  StateDict state_dict() const;
  /// Goes on from the states of the ranks that wrote a checkpoint. If they were as many, each goes
  /// on with its own weights, otherwise all with the mean. To be called after `begin`, and after
  /// the module has the weights of the checkpoint. Throws CheckpointError for a state that doesn't
  /// fit.
  void load_state_dict(const std::vector<StateDict>& ranks);

 private:
  struct Entry;  // a parameter or a buffer
  using Visit = std::function<void(Entry& entry, const torch::Tensor& mean)>;

  void send(int64_t bytes, const std::function<void()>& sum);
  template <class Exchange>
  void recorded(const Exchange& exchange);
  void meet();
  double exchange_rows();
  void average(const Visit& visit);
  void remember_last();
  std::vector<Entry*> averaged();

  GroupRanks& ranks_;
  std::unique_ptr<ModelAveraging> averaging_;
  LocalStepsOptions options_;
  Profiler* profiler_ = nullptr;
  Reduction exchange_;  // the present one, for the profiler
  std::vector<Entry> entries_;
  bool is_local_ = false;
  bool have_begun_ = false;
  bool is_shown_ = false;
  bool is_in_step_ = false;  // begin_step was called, and end_step wasn't
  int64_t steps_ = 0;        // since the last meeting
  double rows_ = 0.0;        // of this rank, since then
  int64_t bytes_ = 0;
};

}  // namespace levin
