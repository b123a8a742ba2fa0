#include <levin/framework/run/run.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

[[noreturn]] void refuse_log(std::string_view name, Stage stage) {
  throw ModuleError::contract(fmt::format("log(\"{}\")", name),
                              fmt::format("this hook of {} is outside an epoch", stage_name(stage)),
                              "log in the hooks between on_*_epoch_start and on_*_epoch_end");
}

/// Adds the values of the current step to `shown`, unless nothing is being logged.
void add_step_values(LoggedValues* active, LoggedValues::For whom, MetricMap& shown) {
  if (active == nullptr) return;
  for (const auto& [name, value] : active->step_values(whom)) shown[name] = value;
}

}  // namespace

const MetricMap& Run::metrics() {
  add_step_values(active_, LoggedValues::For::callbacks, metrics_);
  return metrics_;
}

const MetricMap& Run::progress_bar_metrics() {
  add_step_values(active_, LoggedValues::For::progress_bar, progress_bar_);
  return progress_bar_;
}

void Run::keep_step_values() {
  metrics();
  progress_bar_metrics();
}

void Run::log(std::string_view name, double value, LogOptions options) {
  if (active_ == nullptr) refuse_log(name, stage());
  active_->log_epoch(name, value, options);
}

void Run::log(std::string_view name, const torch::Tensor& value, LogOptions options) {
  if (active_ == nullptr) refuse_log(name, stage());
  options.add_dataloader_idx = false;
  options.batch_size = 1;
  active_->log(name, value, options, false, true);
}

void Run::stop(std::string reason) {
  if (!requests_.stop) requests_.stop = std::move(reason);
}

void Run::save(std::filesystem::path path, SaveOptions options) {
  if (path.is_relative()) path = log_dir() / path;
  requests_.saves.push_back({std::move(path), std::move(options)});
}

void Run::load_weights(StateDict weights) { requests_.weights = std::move(weights); }

void Run::load_weights(const std::filesystem::path& checkpoint) {
  load_weights(load_checkpoint(checkpoint).child("model"));
}

void Run::accumulate(int64_t n) {
  if (n < 1) {
    throw ConfigError::invalid_value("accumulate", std::to_string(n), "must be at least 1");
  }
  requests_.accumulate = n;
}

const std::filesystem::path& Run::log_dir() {
  if (log_dir_.empty()) {
    log_dir_ = ranks_->from_rank_zero(
        "Run/log_dir", [this] { return files::create_version_folder(runs_folder_).string(); });
  }
  return log_dir_;
}

void Step::refuse(std::string_view name) {
  throw ModuleError::contract(fmt::format("log(\"{}\")", name), "predict collects no metrics",
                              "return what you need from predict_step");
}

}  // namespace levin
