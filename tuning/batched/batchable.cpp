#include <levin/tuning/batched/batchable.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/batched/stackable.h>

namespace levin {
namespace {

constexpr std::array<std::string_view, 2> kOptimizersOwn = {"learning_rate", "weight_decay"};

[[noreturn]] void refuse_batch(const std::string& why) {
  throw ConfigError::conflict(fmt::format("jobs can't be trained together: {}", why),
                              "train them one after the other");
}

/// Throws unless the settings are the same in both, but for those that `may_differ`.
template <class MayDiffer>
void require_same_settings(const Chosen& a, const Chosen& b, const MayDiffer& may_differ) {
  if (a.name != b.name) refuse_batch(fmt::format("{} and {}", a.name, b.name));
  for (size_t i = 0; i < a.fields.size(); ++i) {
    const auto& name = a.fields[i].name;
    if (may_differ(name) || a.fields[i].get() == b.fields[i].get()) continue;
    refuse_batch(fmt::format("they differ in {}.{}", a.place, name));
  }
}

bool is_never(std::string_view /*name*/) { return false; }

template <class Choice, class MayDiffer>
void require_same_choice(const std::optional<Choice>& a, const std::optional<Choice>& b,
                         const char* part, const MayDiffer& may_differ) {
  if (a.has_value() != b.has_value()) refuse_batch(fmt::format("only some have {}", part));
  if (a) require_same_settings(*a, *b, may_differ);
}

bool is_own_rate(std::string_view name) {
  return std::find(kOptimizersOwn.begin(), kOptimizersOwn.end(), name) != kOptimizersOwn.end();
}

void require_same_jobs(const Job& a, const Job& b) {
  if (a.seed.has_value() != b.seed.has_value()) refuse_batch("only some have seed_everything");
  require_same_choice(a.model, b.model, "a model", may_models_differ_in);
  require_same_choice(a.data, b.data, "data", is_never);
  require_same_choice(a.optimizer, b.optimizer, "an optimizer", is_own_rate);
  require_same_choice(a.lr_scheduler, b.lr_scheduler, "an lr_scheduler", is_never);
  require_same_settings(a.trainer_settings, b.trainer_settings,
                        [](std::string_view name) { return name == "default_root_dir"; });
  const bool same_schedule =
      a.schedule.interval == b.schedule.interval && a.schedule.frequency == b.schedule.frequency;
  if (!same_schedule) refuse_batch("they differ in lr_scheduler");
}

void require_plain_trainer(const TrainerOptions& options) {
  const auto require = [](bool is_fine, const char* option) {
    if (!is_fine) refuse_batch(fmt::format("trainer.{}", option));
  };
  const auto& interval = options.val_check_interval;
  require(interval.value == decltype(interval.value)(1.0), "val_check_interval");
  require(options.check_val_every_n_epoch.has_value(), "check_val_every_n_epoch");
  require(options.max_time.empty(), "max_time");
  require(options.num_nodes == 1, "num_nodes");
  require(options.fast_dev_run.count == 0, "fast_dev_run");
  require(options.profiler.empty(), "profiler");
  require(options.strategy == "auto", "strategy");
  require(options.gradient_deadline.name == "none", "gradient_deadline");
  require(options.model_averaging.name == "none", "model_averaging");
  require(options.pipeline_size == 1, "pipeline_size");
  require(options.tensor_size == 1, "tensor_size");
}

void require_plain_callbacks(const std::vector<ChosenCallback>& callbacks) {
  for (const auto& callback : callbacks) {
    if (callback.name == "EarlyStopping") continue;
    if (callback.name == "ModelCheckpoint") {
      for (const auto& field : callback.fields) {
        const bool is_inside =
            field.name == "every_n_train_steps" || field.name == "train_time_interval";
        const Value value = field.get();
        const bool is_off = value.is_null() || value == Value(int64_t{0}) || value == Value("");
        if (is_inside && !is_off) refuse_batch(fmt::format("ModelCheckpoint.{}", field.name));
      }
      continue;
    }
    refuse_batch(fmt::format("the callback {}", callback.name));
  }
}

}  // namespace

bool may_jobs_differ_in(std::string_view setting) {
  const size_t first = setting.find('.');
  const size_t last = setting.rfind('.');
  if (first == std::string_view::npos) return setting == "seed_everything";
  const auto between = setting.substr(first, last - first);
  if (!between.empty() && between != ".init_args") return false;
  const auto part = setting.substr(0, first);
  const auto name = setting.substr(last + 1);
  if (part == "model") return may_models_differ_in(name);
  return part == "optimizer" && is_own_rate(name);
}

void require_batchable(const std::vector<Job>& jobs) {
  if (jobs.empty()) refuse_batch("there is none");
  const Job& first = jobs.front();
  if (!first.model || !first.data) refuse_batch("no model or no data is named");
  if (!first.parameter_groups.empty()) refuse_batch("optimizer.groups");
  if (first.lr_scheduler && !first.schedule.monitor.empty()) {
    refuse_batch("the lr_scheduler watches a metric");
  }
  require_plain_trainer(*first.trainer);
  for (const Job& job : jobs) {
    if (!job.ckpt_path.empty()) refuse_batch("one goes on from a checkpoint");
    require_same_jobs(first, job);
    require_plain_callbacks(job.callbacks);
    require_plain_callbacks(job.default_callbacks);
  }
}

}  // namespace levin
