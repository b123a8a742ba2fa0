#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/logged/log_options.h>
#include <levin/framework/run/module.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/models/evaluation_metrics.h>
#include <levin/models/supervised_model.h>
#include <levin/tuning/batched/softmax_stack.h>
#include <levin/tuning/batched/stacked_layers.h>
#include <levin/tuning/batched/stacked_losses.h>

namespace levin {

/// Models of the same class and sizes that are trained together in one pass over the data, each the
/// same as if it had been trained alone, up to the rounding of float32:
///
///     levin::StackedModels models({[] { return make_model(0.1); }, [] { return make_model(0.01);
///     }}); trainer.fit(models, data); models.model(1).predict(batch);
///     levin::metrics_of_model(trainer.run().metrics(), 1).at("val_loss");
///
/// They are LogisticRegressions, LinearRegressions or MLPs on the CPU, which differ only in their
/// learning rate and the strengths of their penalties (l1_strength, l2_strength, C, l1_ratio), or
/// in the settings that their optimizers have (`divide`). They begin with the same weights, those
/// that a model alone would begin with, and see the same batches. Models of several seeds begin
/// with those of their seeds, and see the parts of each batch that a MultiSeedDataModule makes of
/// the rows.
///
/// What a model alone logs as "val_loss" is logged as "val_loss/0", "val_loss/1" ... The parameters
/// of model k are named "k.linear.weight" and so on. The loss of a training step is the mean of all
/// models' losses that are finite; it is only shown, since each model has its own gradients.
class StackedModels : public Module {
 public:
  using Maker = std::function<std::unique_ptr<Module>()>;
  /// What the optimizer of a model has of its own.
  struct Rates {
    double learning_rate = 0.0;
    /// Nothing stands for that of the optimizer.
    std::optional<double> weight_decay{};
  };

  /// Makes each model from the same state of the random generators or, if `seeds` has the seed of
  /// each, after seed_everything; models of one seed should follow each other. `optimizers`: see
  /// SupervisedModel. Throws ConfigError if there is no model, and for models that can't be trained
  /// together.
  explicit StackedModels(const std::vector<Maker>& makers,
                         const OptimizerList& optimizers = shipped_optimizers(),
                         const std::vector<uint64_t>& seeds = {});

  size_t size() const { return models_.size(); }
  /// A model as it is now. In a fit, its parameters are a part of the stack's memory.
  SupervisedModel& model(size_t number) { return *models_.at(number); }
  /// Leaves a model as it is while the others are trained on.
  void stop(size_t number);
  bool is_stopped(size_t number) const { return is_stopped_.at(number); }
  /// Makes each model's gradients be clipped by their own norm, as gradient_clip_val of the Trainer
  /// does for one model; 0 leaves them alone. Without this call, gradients are clipped as the
  /// Trainer's options say, which for the algorithm `norm` is the norm over all models.
  void clip_each(double max_norm) { max_norm_ = max_norm; }
  /// Gives the models' parameters, which `optimizer` has in one group, groups of their own with
  /// these rates. Throws ConfigError for an optimizer that has no groups, and for another number of
  /// rates than models.
  void divide(Optimizer& optimizer, const std::vector<Rates>& rates) const;
  /// The shape and type of the rows that the models have been trained on; nothing before.
  const std::optional<InputDescription>& input() const { return input_; }

  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// Makes the gradients those of the batch if a step has been made since the last one, whether
  /// they were set to zero or not; adds to them if not.
  void backward(const torch::Tensor& loss) override;
  void optimizer_step(Optimizer& optimizer, const Closure& closure) override;
  /// The optimizer that the models' settings name, with the learning rate of each.
  Optimizers configure_optimizers() override;
  void configure_gradient_clipping(Optimizer& optimizer, Step& step) override;
  /// Throws ConfigError, besides what the models throw, if rows have weights.
  void prepare(const TrainingSet& train) override;
  void check_data(const DataLoaders& loaders) const override;
  void on_fit_start(Run& run) override;
  void on_before_batch_transfer(Batch& batch) override;
  void on_validation_epoch_start(Run& run) override;
  void on_test_epoch_start(Run& run) override;

 private:
  struct Names {
    std::string train_loss, train_penalty, val_loss, val_acc, test_loss, test_acc;
  };
  /// Some of the models, one after the other, whose layers are one stack. The parts are shared out
  /// to the threads of the run.
  struct Part {
    size_t first;
    size_t end;
    size_t seed;  // the number of their seed
    StackedLayers layers;
    std::vector<float> logits{};  // of a model, for softmax_
  };

  void make_models(const std::vector<Maker>& makers, const std::vector<uint64_t>& seeds);
  void set_loss();
  void make_metrics();
  void require_fitting_parameters() const;
  void stack();
  /// Rows as the models see them: those of a batch, or of a part of it that is for one seed.
  struct Seen {
    torch::Tensor rows{};     // [rows, features]
    torch::Tensor targets{};  // see stacked_losses
    bool uses_softmax = false;
    SoftmaxStack softmax{};
  };
  void add_parts(size_t first, size_t end, size_t seed, size_t numbers);
  void see(const Batch& batch, bool may_use_softmax);
  void see_rows(const Batch& batch, bool may_use_softmax, Seen& seen) const;
  const Seen& seen_by(const Part& part) const { return seen_[seen_count_ == 1 ? 0 : part.seed]; }
  torch::Tensor rows_of(const Batch& batch) const;
  torch::Tensor targets_of(const Batch& batch) const;
  bool can_use_softmax(const torch::Tensor& rows) const;
  void learn(Part& part);
  void learn_by_softmax(Part& part, const SoftmaxStack& softmax);
  void add_penalties(Part& part);
  bool has_own_gradients(const Part& part) const;
  void give_gradients(Part& part);
  torch::Tensor log_losses(Step& step);
  void evaluate(const Batch& batch, Step& step, bool is_test);
  void evaluate(Part& part, torch::Tensor& outputs);
  void evaluate_by_softmax(Part& part, const SoftmaxStack& softmax);
  bool has_metrics() const;
  void log_metrics(const Part& part, const torch::Tensor& outputs, Step& step, bool is_test);

  OptimizerList optimizers_;
  std::vector<std::shared_ptr<SupervisedModel>> models_;
  std::vector<Names> names_;
  std::vector<bool> is_stopped_;
  std::vector<size_t> seeds_;      // the number of each model's seed; empty: they have one
  std::vector<StateDict> random_;  // behind the making of each model, if there are several seeds
  StackedLoss loss_kind_ = StackedLoss::softmax;
  const Activation* activation_ = nullptr;
  std::vector<std::vector<torch::Tensor>> parameters_;  // of each model
  int64_t outputs_ = 0;                                 // of a model
  std::vector<Part> parts_;
  bool begins_gradients_ = true;  // the next batch doesn't add to the last one's gradients
  std::vector<double> l1_strengths_;
  std::vector<double> l2_strengths_;
  std::vector<double> losses_;     // of the last batch, by model
  std::vector<double> penalties_;  // added to them
  std::vector<double> accuracies_;
  std::vector<Seen> seen_;  // of the present batch, the first `seen_count_`
  size_t seen_count_ = 0;
  std::vector<EvaluationMetrics<ClassMetric>> class_metrics_;
  std::vector<EvaluationMetrics<RegressionMetric>> regression_metrics_;
  torch::Tensor loss_;  // of the last training step, a leaf
  double max_norm_ = 0.0;
  std::optional<InputDescription> input_;
};

/// The metrics of one of the models that are trained together, under the names that it has alone.
MetricMap metrics_of_model(const MetricMap& metrics, size_t number);

/// Returns the name that a model alone would have for a metric of StackedModels, and sets `number`
/// to the number of the model; an empty text for the name of another metric.
std::string metric_of_model(std::string_view name, size_t& number);

}  // namespace levin
