#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/tensor/device_graph.h>

namespace levin {

/// Trains by replaying a recorded step (a CUDA graph), where that gives the same as training on
/// each batch anew. The host then starts a whole step at once, instead of each of its kernels.
///
///     CapturedStep captured(parts, optimizers, data, training_step, metrics, step);
///     while (...) {
///       if (const int64_t steps = captured.next(quiet)) {    // the data live on the device
///         captured.run(steps);
///       } else if (read(batch)) {
///         captured.takes(batch) ? captured.run(1) : train_on(batch);
///       }
///     }
///
/// The first steps of a fit aren't recorded, so that everything that a step makes only once exists:
/// the optimizer's state, the accumulators of autograd, the workspaces of cuBLAS. A batch that
/// isn't full is trained on without the graph. If gradients are accumulated, a graph trains on a
/// whole window of batches, which it makes itself; a window that isn't full, or whose batches hooks
/// get, is trained on without it. Gradients are those of the graph's own memory after
/// each replay; they are written anew in each, so nothing has to be set to zero.
class CapturedStep {
 public:
  /// Keeps the references. Throws ConfigError if the option cuda_graph is "on" and it is known
  /// already that steps can't be captured.
  CapturedStep(LoopParts parts, Optimizers& optimizers, TrainingData& data,
               TrainingStep& training_step, LoggedValues& metrics, StepControl& step);

  /// How many batches a graph trains on if the host has nothing to do between its steps. Then it
  /// needs one start for all of them, which takes longer than a small step.
  static constexpr int64_t kMany = 16;

  /// Goes on to the batches of the next steps, as many as `run` can make and train on at a time,
  /// and returns the number of these steps: 1, or as many as have kMany batches together, if that
  /// isn't more than `quiet`. In so many steps, the host has nothing to do; 0 says that hooks get
  /// each batch. Records a step when it is called for the first time after the warm-up. If `run`
  /// can't make the batches of the next step, returns 0 and does nothing.
  int64_t next(int64_t quiet);
  /// Whether `run` can train on `batch`, which was read and is on the device; copies it to where
  /// the recorded step reads it.
  bool takes(const Batch& batch);
  /// Trains on the batches that `next` or `takes` was called for. The caller then calls
  /// `LoggedValues::repeat_recorded` for each step. Returns how many of the steps count: fewer than
  /// `steps` if gradients weren't finite. Doesn't wait for the device, unless gradients are scaled
  /// (precision = 16-mixed).
  int64_t run(int64_t steps);
  /// The batch that the recorded step trains on, and its loss. Their memory is that of the next
  /// step as well.
  const Batch& batch() const { return batch_; }
  const torch::Tensor& loss() const { return last_->loss; }

  /// To be called before each epoch. Captures steps anew if a layer is in another mode than before.
  void begin_epoch();
  /// To be called if the data are read from other loaders from now on.
  void begin_data() { forget(); }
  /// To be called with what `transfer` returned for a batch that was read. Graphs don't make
  /// batches of data that have to be converted; they are copied instead.
  void note_converted(bool is_converted) { converts_ = is_converted; }
  /// To be called after a step without the graph. `stepped`: the optimizer stepped.
  void note_eager_step(bool stepped);
  /// To be called before hooks get `batch` and `loss`: counts who holds them.
  void lend();
  /// To be called after the hooks that got `batch` and `loss`. If one of them kept a tensor, later
  /// steps aren't captured, so that it keeps its values. Throws ModuleError instead if cuda_graph
  /// is "on".
  void check_kept();

 private:
  /// A tensor that hooks get, and how many references there are to it and to its memory while no
  /// hook keeps it.
  struct Lent {
    torch::Tensor tensor;
    size_t references = 0;
    size_t memory_references = 0;
  };
  /// A graph, the loss of its last step, and the gradients that its last step leaves.
  struct Graph {
    std::unique_ptr<DeviceGraph> graph;  // null: nothing is recorded
    torch::Tensor loss;
    torch::Tensor gradient_norm;
    std::vector<std::pair<torch::Tensor, torch::Tensor>> gradients;  // with their parameters first
  };
  /// What a graph takes for granted of a parameter.
  struct Parameter {
    torch::Tensor tensor;
    const void* memory;
    bool requires_grad;
  };
  std::string obstacle() const;
  bool is_up_to_date() const;
  void forget();
  bool is_ready();
  bool may_record() const;
  bool makes_batches() const;
  void record(Graph& graph, int64_t steps, int64_t rows, bool from_resident_data);
  int64_t window() const { return parts_.run.progress().accumulate; }
  void use_gradients_of(const Graph& graph);

  LoopParts parts_;
  Optimizer* optimizer_;
  TrainingData& data_;
  TrainingStep& training_step_;
  LoggedValues& metrics_;
  StepControl& step_;
  bool is_on_;
  bool converts_ = false;  // batches aren't of the types that the run computes in
  int64_t eager_steps_ = 0;
  Graph single_;
  Graph many_;
  int64_t window_ = 1;      // batches of each step of the graphs
  Graph* last_ = &single_;  // that was replayed last
  const Graph* has_gradients_ =
      nullptr;  // whose gradients the parameters have; null: an eager step's
  Batch batch_;
  std::vector<Parameter> learned_;  // at the time of the first recording
  std::vector<bool> modes_;         // of the module and its layers: whether they are trained
  std::vector<Lent> lent_;
};

}  // namespace levin
