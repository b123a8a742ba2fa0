#include <levin/callbacks/model_checkpoint.h>

#include <fmt/format.h>
#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/logged/missing_monitor.h>
#include <levin/framework/run/step.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace levin {
namespace {

constexpr const char* kLastName = "last";
constexpr const char* kExtension = ".ckpt";

std::filesystem::path plain_path(const std::filesystem::path& path) {
  auto plain = std::filesystem::absolute(path).lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

}  // namespace

ModelCheckpoint::ModelCheckpoint(ModelCheckpointOptions options)
    : options_(std::move(options)),
      name_(options_.filename.empty() ? "{epoch}-{step}" : options_.filename,
            options_.auto_insert_metric_name) {
  validate(options_);
  options_.dirpath = expand_home(std::move(options_.dirpath), "ModelCheckpoint.dirpath");
  if (!options_.monitor.empty())
    monitor_.emplace("ModelCheckpoint", options_.monitor, options_.mode);
  every_n_steps_ = options_.every_n_train_steps.value_or(0);
  interval_seconds_ = options_.train_time_interval.value_or(0.0) * 60.0;
  const bool other_trigger = every_n_steps_ > 0 || interval_seconds_ > 0.0;
  every_n_epochs_ = options_.every_n_epochs.value_or(other_trigger ? 0 : 1);
}

std::string ModelCheckpoint::state_key() const {
  const auto number = [](const auto& value) { return value ? fmt::to_string(*value) : "-"; };
  return fmt::format("ModelCheckpoint:{}:{}:{}:{}:{}:{}", options_.monitor, options_.mode,
                     options_.filename, number(options_.every_n_train_steps),
                     number(options_.train_time_interval), number(options_.every_n_epochs));
}

StateDict ModelCheckpoint::state_dict() const {
  StateDict state;
  Value::Array kept;
  for (const auto& saved : best_k_models_) {
    Value item;
    item["path"] = saved.path.string();
    item["score"] = saved.score;
    kept.push_back(std::move(item));
  }
  state.values["dirpath"] = folder_.string();
  state.values["best_k_models"] = std::move(kept);
  state.values["best_model_path"] = best_model_path_.string();
  state.values["best_model_score"] = best_model_score_ ? Value(*best_model_score_) : Value();
  state.values["last_model_path"] = last_model_path_.string();
  state.values["top_step"] = top_step_;
  state.values["last_step"] = last_step_;
  state.values["waiting"] = waiting_;
  if (monitor_) {
    state.values["monitor_source"] = monitor_->source_name();
    state.values["monitor_seen"] = monitor_->seen();
  }
  return state;
}

void ModelCheckpoint::load_state_dict(const StateDict& state) {
  best_k_models_.clear();
  for (const auto& item : state.values.at("best_k_models").as_array()) {
    best_k_models_.push_back({item.at("path").as_string(), item.at("score").as_double()});
  }
  folder_ = state.values.at("dirpath").as_string();
  best_model_path_ = state.values.at("best_model_path").as_string();
  const auto& score = state.values.at("best_model_score");
  best_model_score_ = score.is_null() ? std::nullopt : std::optional(score.as_double());
  last_model_path_ = state.values.at("last_model_path").as_string();
  top_step_ = state.values.at("top_step").as_int();
  last_step_ = state.values.at("last_step").as_int();
  waiting_ = state.values.at("waiting").as_bool();
  if (monitor_) {
    monitor_->set_source(state.values.at("monitor_source").as_string());
    const auto& values = state.values;
    if (values.contains("monitor_seen")) monitor_->set_seen(values.at("monitor_seen").as_int());
  }
  resumed_ = true;
}

void ModelCheckpoint::on_fit_start(Run& run) {
  const auto before = folder_;
  std::filesystem::path folder = options_.dirpath;
  if (folder.empty()) folder = run.log_dir() / "checkpoints";
  folder_ = plain_path(folder);
  if (run.is_global_zero()) files::create_folder(folder_);
  if (resumed_) {
    find_again(run, before);
    tell(run);
  } else {
    best_k_models_.clear();
    best_model_path_.clear();
    best_model_score_.reset();
    last_model_path_.clear();
    top_step_ = last_step_ = -1;
    waiting_ = false;
    if (monitor_) monitor_->reset();
  }
  resumed_ = false;
  fitting_ = true;
  if (monitor_) monitor_->on_fit_start();
}

void ModelCheckpoint::find_again(Run& run, const std::filesystem::path& folder_before) {
  // The paths come from a file that anybody may have written. Those that lead out of the folder are
  // only ever read.
  const auto found = [&](const std::filesystem::path& path) {
    const auto relative =
        path.lexically_normal().lexically_relative(folder_before.lexically_normal());
    const auto own = (folder_ / relative).lexically_normal();
    if (!relative.empty() && is_ours(own)) return own;
    const bool is_elsewhere = path.extension() == kExtension && has_checkpoint(path);
    return is_elsewhere ? path : std::filesystem::path();
  };
  const auto all_found = run.ranks().from_rank_zero(fmt::format("{}/found", state_key()), [&] {
    Value::Array paths;
    for (const auto& saved : best_k_models_) paths.push_back(found(saved.path).string());
    const auto last = found(last_model_path_);
    paths.push_back(is_ours(last) ? last.string() : std::string());
    return Value(std::move(paths)).to_json();
  });
  const Value paths = Value::from_json(all_found);
  for (size_t i = 0; i < best_k_models_.size(); ++i) {
    best_k_models_[i].path = paths.as_array().at(i).as_string();
  }
  std::erase_if(best_k_models_, [](const Saved& saved) { return saved.path.empty(); });
  last_model_path_ = paths.as_array().back().as_string();
  rank_again();
}

void ModelCheckpoint::on_train_start(Run& run) {
  seen_step_ = run.global_step();
  if (interval_seconds_ > 0.0) next_save_ = files::monotonic_seconds() + interval_seconds_;
}

bool ModelCheckpoint::step_due(Run& run) {
  const int64_t global_step = run.global_step();
  if (global_step == seen_step_) return false;  // gradients are still being accumulated
  const int64_t before = std::exchange(seen_step_, global_step);
  // A batch may have had several steps, the last of which needn't be a multiple.
  if (every_n_steps_ > 0) return global_step / every_n_steps_ > before / every_n_steps_;
  const double now = files::monotonic_seconds();
  if (!run.ranks().any_after_step(state_key(), now >= next_save_)) return false;
  next_save_ = now + interval_seconds_;
  return true;
}

bool ModelCheckpoint::epoch_due(const Run& run) const {
  return every_n_epochs_ > 0 && (run.epoch() + 1) % every_n_epochs_ == 0;
}

void ModelCheckpoint::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (every_n_steps_ == 0 && interval_seconds_ == 0.0) return;
  Run& run = step.run();
  if (!step_due(run)) return;
  if (!monitor_ ||
      (monitor_->agreed_value(run) && monitor_->source() == Monitor::Source::training)) {
    waiting_ = monitor_ && options_.save_top_k != 0;  // in case the step has logged no value
    save(run);
  } else {
    waiting_ = options_.save_top_k != 0;
    save_last(run);
  }
}

void ModelCheckpoint::on_validation_start(Run& run) {
  if (fitting_ && monitor_) monitor_->on_validation_start(run);
}

void ModelCheckpoint::on_validation_end(Run& run) {
  if (!fitting_) return;
  if (monitor_) monitor_->on_validation_end(run);
  if (run.progress().sanity_checking()) return;
  const bool is_new = monitor_ && monitor_->source() == Monitor::Source::validation;
  const bool here = options_.save_on_train_epoch_end ? !*options_.save_on_train_epoch_end : is_new;
  if ((here && epoch_due(run)) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_epoch_end(Run& run) {
  if (monitor_) monitor_->on_train_epoch_end(run);
  const bool is_new = !monitor_ || monitor_->source() == Monitor::Source::training;
  const bool here = options_.save_on_train_epoch_end.value_or(is_new);
  if ((here && epoch_due(run)) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_end(Run& run) {
  fitting_ = false;
  if (monitor_) monitor_->on_train_end(run);
  const bool never_saved = last_step_ < 0 && run.global_step() > 0;
  if (never_saved && !run.history().interrupted) save_last(run);
}

void ModelCheckpoint::on_fit_end(Run& run) {
  if (!run.is_global_zero() || best_model_path_.empty()) return;
  std::error_code error;
  if (std::filesystem::exists(best_model_path_, error) || error) return;  // or it isn't known
  run.warn(fmt::format("the best checkpoint, {}, is no longer there", best_model_path_.string()));
}

void ModelCheckpoint::on_exception(const std::exception& error, Run& run) {
  const bool was_fitting = fitting_;
  fitting_ = false;
  if (!was_fitting || !options_.save_on_exception || run.global_step() == 0) return;
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  const auto path = free_path(run, "exception-" + name, {});
  if (run.is_global_zero()) {
    diagnostics::print(
        fmt::format("saving {} because training failed: {}\n", path.string(), error.what()));
  }
  run.set_last_checkpoint(path);
  request(run, path, {});
}

void ModelCheckpoint::save(Run& run) {
  waiting_ = !save_top(run) && waiting_;
  save_last(run);
}

bool ModelCheckpoint::save_top(Run& run) {
  if (options_.save_top_k == 0 || top_step_ == run.global_step()) return true;
  double score = 0.0;
  if (monitor_) {
    const auto value = monitor_->new_value(run);
    if (!value) return false;
    score = std::isnan(*value) ? monitor_->worst() : *value;
    if (is_full() && !monitor_->is_better(score, worst()->score)) return true;
  }
  run.wait_for_saves();  // then names and what is replaced don't depend on how fast files are
                         // written
  SaveOptions save_options{.folder = folder_};
  while (is_full()) {
    if (is_ours(worst()->path)) save_options.replaces.push_back(worst()->path);
    best_k_models_.erase(worst());
  }
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  warn_of_unknown(run, name);
  const auto path = agreed_path(run, "top", name, save_options.replaces);
  std::erase(save_options.replaces, path);
  std::erase_if(best_k_models_, [&](const Saved& saved) { return saved.path == path; });

  best_k_models_.push_back({path, score});
  top_step_ = run.global_step();
  rank_again();
  run.set_last_checkpoint(path);
  if (options_.save_last.name() == "link" && last_step_ != run.global_step()) {
    take_last(run);
    save_options.link = last_model_path_;
  }
  tell(run);
  request(run, path, std::move(save_options));
  return true;
}

void ModelCheckpoint::warn_of_unknown(Run& run, const std::string& name) const {
  for (const auto& metric : name_.missing(run.metrics())) {
    std::vector<std::string> logged;
    for (const auto& [known, value] : run.metrics()) logged.push_back(known);
    const std::string nearest = nearest_name(metric, logged);
    run.warn(
        fmt::format("the name of the checkpoint '{}' has 'nan' for '{}', because that metric "
                    "hadn't been logged yet{}",
                    name, metric,
                    nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest)),
        monitor_fact("ModelCheckpoint.filename", metric));
  }
}

void ModelCheckpoint::take_last(Run& run) {
  last_step_ = run.global_step();
  run.wait_for_saves();
  last_model_path_ = agreed_path(run, "last", kLastName, {last_model_path_});
}

void ModelCheckpoint::save_last(Run& run) {
  if (!options_.save_last.is_on() || last_step_ == run.global_step()) return;
  take_last(run);
  tell(run);
  request(run, last_model_path_, {});
}

bool ModelCheckpoint::is_full() const {
  return options_.save_top_k >= 0 && std::ssize(best_k_models_) >= options_.save_top_k;
}

std::vector<ModelCheckpoint::Saved>::const_iterator ModelCheckpoint::worst() const {
  if (!monitor_) return best_k_models_.begin();
  return std::max_element(
      best_k_models_.begin(), best_k_models_.end(),
      [this](const Saved& a, const Saved& b) { return monitor_->is_better(a.score, b.score); });
}

/// Returns the same path on every rank, because only rank 0 looks at which files exist.
std::filesystem::path ModelCheckpoint::agreed_path(
    Run& run, const char* kind, const std::string& name,
    const std::vector<std::filesystem::path>& ours) const {
  return run.ranks().from_rank_zero(fmt::format("{}/{}", state_key(), kind),
                                    [&] { return free_path(run, name, ours).string(); });
}

std::filesystem::path ModelCheckpoint::free_path(
    const Run& run, const std::string& name, const std::vector<std::filesystem::path>& ours) const {
  for (int64_t version = 0;; ++version) {
    const auto suffix = version == 0 ? std::string() : fmt::format("-v{}", version);
    const auto path = folder_ / (name + suffix + kExtension);
    if (!options_.enable_version_counter) return path;
    if (std::find(ours.begin(), ours.end(), path) != ours.end()) return path;
    if (!files::exists(path) && !run.save_requested(path)) return path;
  }
}

bool ModelCheckpoint::is_ours(const std::filesystem::path& path) const {
  return path.extension() == kExtension && is_checkpoint_in(folder_, path);
}

void ModelCheckpoint::request(Run& run, const std::filesystem::path& path,
                              SaveOptions save_options) {
  save_options.weights_only = options_.save_weights_only;
  save_options.asynchronous = options_.asynchronous;
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(fmt::format("epoch {}, step {}: saving {}\n", run.epoch(), run.global_step(),
                                   path.string()));
  }
  run.save(path, std::move(save_options));
}

void ModelCheckpoint::rank_again() {
  best_model_path_.clear();
  best_model_score_.reset();
  if (best_k_models_.empty()) return;
  if (!monitor_) {
    best_model_path_ = best_k_models_.back().path;
    return;
  }
  const auto best = std::min_element(
      best_k_models_.begin(), best_k_models_.end(),
      [this](const Saved& a, const Saved& b) { return monitor_->is_better(a.score, b.score); });
  best_model_path_ = best->path;
  best_model_score_ = best->score;
}

void ModelCheckpoint::tell(Run& run) const {
  if (!best_model_path_.empty()) run.set_best_checkpoint(best_model_path_);
  if (!last_model_path_.empty()) run.set_last_checkpoint(last_model_path_);
}

}  // namespace levin
