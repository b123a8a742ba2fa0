#include <levin/tuning/batched/batched_session.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <levin/cli/config_saver.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/sync_later.h>
#include <levin/framework/core/version.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/tensor/random.h>
#include <levin/tuning/batched/batchable.h>

namespace levin {
namespace {

/// Passes the hooks of the fit of all models on to the runs of the models.
class RunsOfModels : public Callback {
 public:
  RunsOfModels(std::vector<std::unique_ptr<ModelRun>>& runs, const std::vector<uint64_t>& seeds,
               Value settings, int64_t log_every, std::function<void()> after_epoch)
      : runs_(runs),
        seeds_(seeds),
        settings_(std::move(settings)),
        log_every_(log_every),
        after_epoch_(std::move(after_epoch)) {}

  Order order() const override { return Order::checkpoint; }  // when the values are known

  void on_fit_start(Run& run) override {
    for (size_t k = 0; k < runs_.size(); ++k) {
      settings_["model"] = runs_[k]->run().module().hyper_parameters();
      settings_["seed"] = static_cast<int64_t>(seeds_[k]);
      runs_[k]->begin(run, settings_);
    }
  }
  void on_sanity_check_start(Run& run) override { call(&Hooks::on_sanity_check_start, run); }
  void on_sanity_check_end(Run& run) override {
    call(&Hooks::on_sanity_check_end, run);
    for (const auto& one : runs_) one->forget_metrics();
    seen_.clear();
  }
  void on_train_start(Run& run) override { call(&Hooks::on_train_start, run); }
  void on_train_epoch_start(Run& run) override { call(&Hooks::on_train_epoch_start, run); }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    Run& run = step.run();
    const int64_t steps = run.global_step();
    const bool has_stepped = std::exchange(steps_, steps) != steps;
    if (log_every_ <= 0 || !has_stepped || steps % log_every_ != 0) return;
    const auto values = by_model(run, "train_", /*only_fresh=*/false);
    for (size_t k = 0; k < runs_.size(); ++k) runs_[k]->log_step(values[k], run);
  }
  void on_validation_start(Run& run) override { call(&Hooks::on_validation_start, run); }
  void on_validation_end(Run& run) override {
    take_metrics(run);
    call(&Hooks::on_validation_end, run);
    if (run.progress().sanity_checking()) return;
    const auto values = by_model(run, "val_", /*only_fresh=*/false);
    for (size_t k = 0; k < runs_.size(); ++k) {
      runs_[k]->log_validation(values[k], run);
      runs_[k]->act(run, /*ends_epoch=*/false);
    }
  }
  void on_train_epoch_end(Run& run) override {
    take_metrics(run);
    call(&Hooks::on_train_epoch_end, run);
    if (after_epoch_) after_epoch_();
    bool any_left = false;
    for (const auto& one : runs_) {
      one->act(run, /*ends_epoch=*/true);
      any_left = any_left || !one->has_ended();
    }
    if (!any_left) run.stop("the training of every model has been stopped");
  }
  void on_train_end(Run& run) override {
    for (const auto& one : runs_) one->end(run);
  }
  void on_exception(const std::exception& error, Run& run) override {
    for (const auto& one : runs_) one->fail(error, run);
  }

 private:
  void call(void (Hooks::*hook)(Run&), Run& run) {
    for (const auto& one : runs_) one->call(hook, run);
  }

  void take_metrics(Run& run) {
    const auto fresh = by_model(run, "", /*only_fresh=*/true);
    for (size_t k = 0; k < runs_.size(); ++k) runs_[k]->take_metrics(fresh[k]);
  }

  /// The metrics of each model whose names begin with `prefix`; with `only_fresh`, those that have
  /// got a value since the last such call.
  std::vector<MetricMap> by_model(Run& run, std::string_view prefix, bool only_fresh) {
    std::vector<MetricMap> values(runs_.size());
    for (const auto& [name, value] : run.metrics()) {
      if (!name.starts_with(prefix)) continue;
      size_t model = 0;
      std::string plain = metric_of_model(name, model);
      if (plain.empty() || model >= runs_.size()) continue;
      if (only_fresh) {
        int64_t& seen = seen_[name];
        const int64_t updates = run.updates_of(name);
        if (std::exchange(seen, updates) == updates) continue;
      }
      values[model].emplace(std::move(plain), value);
    }
    return values;
  }

  std::vector<std::unique_ptr<ModelRun>>& runs_;
  const std::vector<uint64_t>& seeds_;
  Value settings_;
  int64_t log_every_;
  std::function<void()> after_epoch_;
  int64_t steps_ = 0;                                 // of the optimizer, at the last batch
  std::map<std::string, int64_t, std::less<>> seen_;  // how often metrics had got a value
};

std::vector<Job> checked_jobs(std::vector<Job> jobs) {
  require_batchable(jobs);
  return jobs;
}

double own_rate(const Job& job, std::string_view name) {
  for (const auto& field : job.optimizer->fields) {
    if (field.name == name) return field.get().as_double();
  }
  return 0.0;
}

}  // namespace

BatchedSession::BatchedSession(std::vector<Job> jobs, const Registry& registry)
    : jobs_(checked_jobs(std::move(jobs))), trainer_(*jobs_.front().trainer) {
  const Job& first = jobs_.front();
  if (first.seed) seed_everything(static_cast<uint64_t>(*first.seed));
  for (const Job& job : jobs_) {
    seeds_.push_back(job.seed ? static_cast<uint64_t>(*job.seed) : global_seed());
  }
  data_ = first.data->make();
  make_models(registry);
  for (size_t job = 0; job < jobs_.size(); ++job) add_run(job, registry);
  if (first.optimizer) set_optimizers();
}

BatchedSession::~BatchedSession() = default;

void BatchedSession::make_models(const Registry& registry) {
  std::vector<StackedModels::Maker> makers;
  for (const Job& job : jobs_) makers.push_back([&job] { return job.model->make(); });
  auto different = seeds_;
  different.erase(std::unique(different.begin(), different.end()), different.end());
  if (different.size() == 1) {
    models_ = std::make_unique<StackedModels>(makers, registry.optimizers);
  } else {
    models_ = std::make_unique<StackedModels>(makers, registry.optimizers, seeds_);
    data_of_seeds_ = std::make_unique<MultiSeedDataModule>(*data_, std::move(different));
  }
  const TrainerOptions& options = trainer_.options();
  if (options.gradient_clip_algorithm == "norm") {
    models_->clip_each(options.gradient_clip_val.value_or(0.0));
  }
}

void BatchedSession::add_run(size_t number, const Registry& registry) {
  const Job& job = jobs_[number];
  const std::filesystem::path root = job.trainer->default_root_dir;
  auto run = std::make_unique<ModelRun>(*models_, number, root / "levin_logs",
                                        [this, number](const ModelRun::Snapshot& snapshot) {
                                          return checkpoint_of(number, snapshot);
                                        });
  bool makes_folder = !job.loggers.empty();
  for (const auto* list : {&job.callbacks, &job.default_callbacks}) {
    for (const auto& each : *list) {
      auto callback = each.make();
      makes_folder = makes_folder || callback->order() == Callback::Order::checkpoint;
      run->add(std::move(callback));
    }
  }
  for (const auto& each : job.loggers) run->add_logger(each.make());
  if (makes_folder) {
    run->add_logger(std::make_unique<ConfigSaver>(to_yaml(job, registry, /*comments=*/false)));
  }
  runs_.push_back(std::move(run));
}

void BatchedSession::add_callback(size_t job, std::unique_ptr<Callback> callback) {
  runs_.at(job)->add(std::move(callback));
}

/// Lets each model have the rates that its job gives the optimizer.
void BatchedSession::set_optimizers() {
  trainer_.set_optimizers([this](Module& module) {
    auto optimizers = jobs_.front().make_optimizers(to_named_tensors(module.named_parameters()));
    std::vector<StackedModels::Rates> rates;
    for (const Job& job : jobs_) {
      rates.push_back({.learning_rate = own_rate(job, "learning_rate"),
                       .weight_decay = own_rate(job, "weight_decay")});
    }
    models_->divide(*optimizers.entries().front().optimizer, rates);
    return optimizers;
  });
}

/// What a checkpoint of the model holds: what one of the Trainer with weights only does.
StateDict BatchedSession::checkpoint_of(size_t job, const ModelRun::Snapshot& snapshot) const {
  const Module& model = models_->model(job);
  ModuleDescription description{.class_path = model.class_name(),
                                .init_args = model.hyper_parameters(),
                                .input = models_->input(),
                                .class_names = data_->class_names()};
  StateDict state;
  state.values["levin_version"] = kVersion;
  state.values["checkpoint_format"] = kCheckpointFormat;
  state.values["epoch"] = snapshot.epoch;
  state.values["global_step"] = snapshot.global_step;
  state.values["precision"] = trainer_.precision().name();
  state.values["module"] = to_value(description);
  state.values["data_class"] = data_->class_name();
  state.values["hyper_parameters"]["data"] = data_->hyper_parameters();
  state.values["hyper_parameters"]["seed"] = static_cast<int64_t>(seeds_[job]);
  state.add("model", snapshot.model);
  if (auto fitted = data_->fitted_state(); !fitted.empty()) state.add("fitted", fitted);
  return state;
}

History BatchedSession::fit() {
  const TrainerOptions& options = trainer_.options();
  bool has_loggers = false;
  for (const Job& job : jobs_) has_loggers = has_loggers || !job.loggers.empty();
  HookSet hooks;
  hooks.add(BatchHook::train_batch_end, has_loggers && options.log_every_n_steps > 0);
  Value settings = Value::Object{{"data", data_->hyper_parameters()},
                                 {"trainer", to_value(jobs_.front().trainer_settings.fields)}};
  trainer_.add(std::make_unique<RunsOfModels>(runs_, seeds_, std::move(settings),
                                              options.log_every_n_steps, after_epoch_),
               hooks);
  files::SyncLater sync_later;
  auto history = trainer_.fit(*models_, data_of_seeds_ ? *data_of_seeds_ : *data_);
  sync_later.finish();
  for (size_t job = 0; job < jobs_.size(); ++job) {
    models_->model(job).set_data_state(models_->data_state());
    models_->model(job).set_trained();
  }
  return history;
}

}  // namespace levin
