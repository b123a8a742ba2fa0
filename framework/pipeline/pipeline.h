#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/collectives/point_to_point.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/pipeline/schedule.h>
#include <levin/framework/pipeline/staged_layers.h>
#include <levin/framework/profiling/profiler.h>

namespace levin {

/// Options of Pipeline. Those of the Trainer are pipeline_schedule, pipeline_chunks and
/// micro_batches.
struct PipelineOptions {
  /// The order of the passes: a name of PipelineSchedule.
  std::string schedule = "1f1b";
  /// How many parts a batch is cut into. A part has at most one row more than another.
  int64_t micro_batches = 4;
  /// The stages of each rank.
  int64_t chunks = 1;
};

/// A model whose layers are spread over the ranks of a process group. Micro-batches flow through
/// them: outputs to the next stage, gradients back to the stage before.
///
///     Pipeline pipeline(group, net, {.micro_batches = 8});       // keeps this rank's stages
///     auto trained = pipeline.train(batch, mean_loss, rows);     // on every rank
///     trained.loss.backward();                                   // gives the gradients
///     auto outputs = pipeline.forward(batch);                    // on every rank, [rows, ...]
///
/// All ranks of the group call the same functions in the same order, with the same batches: the
/// first stage takes the inputs of a batch, the last one computes the loss of it. Gradients are
/// those of the mean over the rows of the whole batch, so that a step equals one of a single
/// process, to rounding, unless layers mix rows (batch norm) or draw random numbers (dropout).
///
/// The outputs of a stage are one tensor [rows, ...], whose type and sizes other than the rows stay
/// as they were in the first batch.
class Pipeline {
 public:
  /// The mean loss over the rows of a micro-batch, a scalar with a graph, from the outputs of the
  /// last stage.
  using Loss = std::function<torch::Tensor(const torch::Tensor& outputs, const Batch& part)>;
  /// How much a micro-batch counts: the number of what its loss is the mean over.
  using Count = std::function<int64_t(const Batch& part)>;

  /// What `train` returns.
  struct Trained {
    /// The loss of the batch, float64 [], on every rank. Its gradients are ready: its backward
    /// pass only gives them to the parameters of this rank.
    torch::Tensor loss;
    /// The outputs of the last stage, [rows, ...], without a graph, if they were asked for.
    torch::Tensor outputs;
  };

  /// What one rank has done so far.
  struct Figures {
    int64_t batches = 0;   ///< that were trained on
    double seconds = 0.0;  ///< within `train`
    double waiting = 0.0;  ///< the part of it that passed in waiting for other ranks
    int64_t messages = 0;  ///< sent in `train` and `forward`
    int64_t bytes = 0;     ///< of these, and of what all ranks get: losses and outputs
    /// The most micro-batches whose activations were held at one moment, counted for each stage.
    int64_t most_held = 0;
    /// The most messages that were kept at one moment because they might not have arrived yet.
    int64_t most_kept = 0;
  };

  /// Cuts `layers`, and keeps the stages of this rank. `group` and `heartbeat` (which may be null)
  /// must live longer, and so must `profiler` (which may be null), which is told of each training
  /// batch, and `owner` (which may be null), the module that the layers are also registered in.
  /// Throws what PipelineSchedule and StagedLayers throw.
  Pipeline(ProcessGroup& group, torch::nn::Sequential layers, const PipelineOptions& options,
           Heartbeat* heartbeat = nullptr, Profiler* profiler = nullptr,
           torch::nn::Module* owner = nullptr);

  /// Sets the numbers by which errors name the ranks of the group (PointToPoint::set_names).
  void set_names(std::vector<int64_t> names) { messages_.set_names(std::move(names)); }

  /// Makes all forward and backward passes of a batch. Throws ModuleError if the loss isn't a
  /// scalar with a graph, and if a stage returns something else than floating-point rows.
  Trained train(const Batch& batch, const Loss& loss, const Count& count, bool with_outputs);
  /// Passes a batch through all stages, without gradients.
  torch::Tensor forward(const Batch& batch);

  /// Gives every rank all layers with their values. A collective. Afterwards this object must not
  /// be used any more.
  void restore();

  const PipelineSchedule& schedule() const { return schedule_; }
  const StagedLayers& layers() const { return layers_; }
  Figures figures() const;

 private:
  /// A stage and a micro-batch.
  using Key = std::pair<int64_t, int64_t>;
  /// The type and the sizes of a row of what goes into a stage.
  struct Layout {
    at::ScalarType type = at::kFloat;
    std::vector<int64_t> row{};
  };
  /// What a backward pass needs of its forward pass.
  struct Held {
    torch::Tensor input;
    torch::Tensor output;
  };

  bool is_last(int64_t stage) const { return stage == schedule_.stages() - 1; }
  bool comes_from_elsewhere(const PipelineAction& action) const;
  size_t chunk_of(int64_t stage) const;
  int64_t rows_of(const PipelineAction& action) const;
  void begin(const Batch& batch, bool trains);
  void run(const std::vector<PipelineAction>& actions);
  void expect(const PipelineAction& action, bool may_wait);
  torch::Tensor take(const PipelineAction& action);
  torch::Tensor received(const PipelineAction& action);
  void hand_on(const PipelineAction& from, const torch::Tensor& tensor);
  int64_t header_tag(int64_t stage) const;
  void announce(int64_t stage, const torch::Tensor& own);
  const Layout* layout_into(int64_t stage, bool may_wait);
  void note_beginning(const PipelineAction& action);
  void note_end();
  void forward_pass(const PipelineAction& action);
  void backward_pass(const PipelineAction& action);
  torch::Tensor weighted_loss(const torch::Tensor& outputs, size_t micro_batch);
  torch::Tensor ready_loss();
  torch::Tensor outputs_everywhere(int64_t rows);

  ProcessGroup& group_;
  at::Device device_;
  PipelineSchedule schedule_;
  StagedLayers layers_;
  PointToPoint messages_;
  Profiler* profiler_;
  PipelineBatch batch_;  // what the profiler is told
  Figures figures_;
  /// By stage, what goes into it, in evaluation and in training. Behind the last stage, what comes
  /// out of it.
  std::map<int64_t, Layout> layouts_[2];

  // Of the batch in progress.
  bool trains_ = false;
  const Loss* loss_ = nullptr;
  bool keeps_outputs_ = false;
  std::vector<Batch> parts_;
  std::vector<double> weights_;  // of the parts, whose sum is 1
  std::vector<torch::Tensor> outputs_;
  torch::Tensor loss_sum_;                              // on the last rank
  std::vector<std::vector<torch::Tensor>> parameters_;  // of each chunk, that are trained
  std::vector<std::vector<torch::Tensor>> gradients_;
  std::map<Key, Held> held_;
  /// What each forward and backward pass begins with: on its way to this rank, or already here.
  std::map<Key, PointToPoint::Receipt> expected_[2];
  std::map<Key, torch::Tensor> here_[2];
};

}  // namespace levin
