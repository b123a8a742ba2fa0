#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/config/job.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/tuning/batched/model_run.h>
#include <levin/tuning/batched/multi_seed_datamodule.h>
#include <levin/tuning/batched/stacked_models.h>

namespace levin {

/// Fits that are made real together: one Trainer trains the models of several jobs in one pass over
/// the data (StackedModels), and each job's callbacks, loggers and folder see a run of their own
/// (ModelRun).
///
///     levin::BatchedSession session(jobs, registry);
///     session.fit();
///     session.run(3).metrics().at("val_loss");
class BatchedSession {
 public:
  /// Seeds the random generators as the jobs say, and makes the objects; nothing is written yet.
  /// Jobs of one seed should follow each other. Throws ConfigError as `require_batchable` and
  /// StackedModels do, and what the constructors of the classes throw.
  BatchedSession(std::vector<Job> jobs, const Registry& registry);
  ~BatchedSession();
  BatchedSession(const BatchedSession&) = delete;
  BatchedSession& operator=(const BatchedSession&) = delete;

  size_t size() const { return jobs_.size(); }
  /// Adds a callback of one job, before the fit. Its hooks inside a step aren't called.
  void add_callback(size_t job, std::unique_ptr<Callback> callback);
  /// Sets what is called at the end of each epoch, after the jobs' callbacks.
  void set_after_epoch(std::function<void()> call) { after_epoch_ = std::move(call); }
  /// Trains all models. Throws what Trainer::fit throws, also ConfigError, before the first batch,
  /// for data with weights of rows, for devices other than the CPU, and for jobs of several seeds
  /// as MultiSeedDataModule does.
  History fit();
  /// The run of one job, and its model.
  Run& run(size_t job) { return runs_.at(job)->run(); }
  Module& module(size_t job) { return models_->model(job); }
  /// Whether a batch has been trained on.
  bool has_trained() const { return models_->input().has_value(); }

 private:
  void make_models(const Registry& registry);
  void add_run(size_t job, const Registry& registry);
  void set_optimizers();
  StateDict checkpoint_of(size_t job, const ModelRun::Snapshot& snapshot) const;

  std::vector<Job> jobs_;
  Trainer trainer_;
  std::vector<uint64_t> seeds_;  // of the jobs
  std::unique_ptr<DataModule> data_;
  std::unique_ptr<MultiSeedDataModule> data_of_seeds_;  // null: the jobs have one seed
  std::unique_ptr<StackedModels> models_;
  std::vector<std::unique_ptr<ModelRun>> runs_;
  std::function<void()> after_epoch_;
};

}  // namespace levin
