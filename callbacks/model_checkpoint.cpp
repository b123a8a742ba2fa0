#include <levin/callbacks/model_checkpoint.h>

#include <fmt/format.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/logged/missing_monitor.h>
#include <levin/framework/run/step.h>

#include <cmath>
#include <utility>

namespace levin {
namespace {

constexpr const char* kLastName = "last";

/// How the checkpoints of these options are ranked.
BestCheckpoints::Ranking ranking_of(const ModelCheckpointOptions& options) {
  if (options.monitor.empty()) return BestCheckpoints::Ranking::latest;
  return options.mode == "max" ? BestCheckpoints::Ranking::largest
                               : BestCheckpoints::Ranking::smallest;
}

}  // namespace

ModelCheckpoint::ModelCheckpoint(ModelCheckpointOptions options)
    : options_(std::move(options)),
      name_(options_.filename.empty() ? "{epoch}-{step}" : options_.filename,
            options_.auto_insert_metric_name),
      schedule_(options_.every_n_train_steps, options_.train_time_interval,
                options_.every_n_epochs),
      best_(options_.save_top_k, ranking_of(options_)) {
  validate(options_);
  options_.dirpath = expand_home(std::move(options_.dirpath), "ModelCheckpoint.dirpath");
  if (!options_.monitor.empty())
    monitor_.emplace("ModelCheckpoint", options_.monitor, options_.mode);
}

std::string ModelCheckpoint::state_key() const {
  const auto number = [](const auto& value) { return value ? fmt::to_string(*value) : "-"; };
  return fmt::format("ModelCheckpoint:{}:{}:{}:{}:{}:{}", options_.monitor, options_.mode,
                     options_.filename, number(options_.every_n_train_steps),
                     number(options_.train_time_interval), number(options_.every_n_epochs));
}

StateDict ModelCheckpoint::state_dict() const {
  StateDict state;
  state.values["dirpath"] = folder_.string();
  state.values["best_k_models"] = best_.to_values();
  state.values["best_model_path"] = best_model_path().string();
  state.values["best_model_score"] = best_model_score() ? Value(*best_model_score()) : Value();
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
  best_.load_values(state.values.at("best_k_models").as_array());
  folder_ = state.values.at("dirpath").as_string();
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
  folder_ = plain_folder(folder);
  if (run.is_global_zero()) files::create_folder(folder_);
  if (resumed_) {
    find_again(run, before);
    tell(run);
  } else {
    best_.clear();
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
  const auto all_found = run.ranks().from_rank_zero(fmt::format("{}/found", state_key()), [&] {
    Value::Array paths;
    for (const auto& saved : best_.all()) {
      paths.push_back(find_checkpoint_again(saved.path, folder_before, folder_).string());
    }
    const auto last = find_checkpoint_again(last_model_path_, folder_before, folder_);
    paths.push_back(is_checkpoint_of_folder(folder_, last) ? last.string() : std::string());
    return Value(std::move(paths)).to_json();
  });
  const Value found = Value::from_json(all_found);
  std::vector<std::filesystem::path> paths;
  for (const Value& path : found.as_array()) paths.emplace_back(path.as_string());
  last_model_path_ = paths.back();
  paths.pop_back();
  best_.set_paths(paths);
}

void ModelCheckpoint::on_train_start(Run& run) { schedule_.start(run); }

void ModelCheckpoint::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  Run& run = step.run();
  if (!schedule_.is_within_epochs() || !schedule_.is_due_after_step(run, state_key())) return;
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
  if ((here && schedule_.is_due_after_epoch(run.epoch())) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_epoch_end(Run& run) {
  if (monitor_) monitor_->on_train_epoch_end(run);
  const bool is_new = !monitor_ || monitor_->source() == Monitor::Source::training;
  const bool here = options_.save_on_train_epoch_end.value_or(is_new);
  if ((here && schedule_.is_due_after_epoch(run.epoch())) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_end(Run& run) {
  fitting_ = false;
  if (monitor_) monitor_->on_train_end(run);
  const bool never_saved = last_step_ < 0 && run.global_step() > 0;
  if (never_saved && !run.history().interrupted) save_last(run);
}

void ModelCheckpoint::on_fit_end(Run& run) {
  if (!run.is_global_zero() || best_model_path().empty()) return;
  std::error_code error;
  if (std::filesystem::exists(best_model_path(), error) || error) return;  // or it isn't known
  run.warn(fmt::format("the best checkpoint, {}, is no longer there", best_model_path().string()));
}

void ModelCheckpoint::on_exception(const std::exception& error, Run& run) {
  const bool was_fitting = fitting_;
  fitting_ = false;
  if (!was_fitting || !options_.save_on_exception || run.global_step() == 0) return;
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  const auto path = path_for(run, "exception-" + name, {});
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
    if (!best_.admits(score)) return true;
  }
  run.wait_for_saves();  // then names and what is replaced don't depend on how fast files are
                         // written
  SaveOptions save_options{.folder = folder_};
  for (const auto& dropped : best_.make_room()) {
    if (is_checkpoint_of_folder(folder_, dropped)) save_options.replaces.push_back(dropped);
  }
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  warn_of_unknown(run, name);
  const auto path = agreed_path(run, "top", name, save_options.replaces);
  std::erase(save_options.replaces, path);
  best_.add(path, score);
  top_step_ = run.global_step();
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

std::filesystem::path ModelCheckpoint::agreed_path(
    Run& run, const char* kind, const std::string& name,
    const std::vector<std::filesystem::path>& ours) const {
  return run.ranks().from_rank_zero(fmt::format("{}/{}", state_key(), kind),
                                    [&] { return path_for(run, name, ours).string(); });
}

std::filesystem::path ModelCheckpoint::path_for(
    const Run& run, const std::string& name, const std::vector<std::filesystem::path>& ours) const {
  return options_.enable_version_counter ? free_checkpoint_path(run, folder_, name, ours)
                                         : checkpoint_path(folder_, name);
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

void ModelCheckpoint::tell(Run& run) const {
  if (!best_model_path().empty()) run.set_best_checkpoint(best_model_path());
  if (!last_model_path_.empty()) run.set_last_checkpoint(last_model_path_);
}

}  // namespace levin
