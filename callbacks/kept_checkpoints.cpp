#include <levin/callbacks/kept_checkpoints.h>

#include <fmt/format.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/logged/missing_monitor.h>

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

KeptCheckpoints::KeptCheckpoints(ModelCheckpointOptions options, std::string key)
    : options_(std::move(options)),
      key_(std::move(key)),
      name_(options_.filename.empty() ? "{epoch}-{step}" : options_.filename,
            options_.auto_insert_metric_name),
      best_(options_.save_top_k, ranking_of(options_)) {}

void KeptCheckpoints::save_to(Value& values) const {
  values["dirpath"] = folder_.string();
  values["best_k_models"] = best_.to_values();
  values["best_model_path"] = best_.best_path().string();
  values["best_model_score"] = best_.best_score() ? Value(*best_.best_score()) : Value();
  values["last_model_path"] = last_path_.string();
  values["top_step"] = top_step_;
  values["last_step"] = last_step_;
}

void KeptCheckpoints::load_from(const Value& values) {
  best_.load_values(values.at("best_k_models").as_array());
  folder_ = values.at("dirpath").as_string();
  last_path_ = values.at("last_model_path").as_string();
  top_step_ = values.at("top_step").as_int();
  last_step_ = values.at("last_step").as_int();
}

void KeptCheckpoints::begin(Run& run, bool resumed) {
  const auto before = folder_;
  std::filesystem::path folder = options_.dirpath;
  if (folder.empty()) folder = run.log_dir() / "checkpoints";
  folder_ = plain_folder(folder);
  if (run.is_global_zero()) files::create_folder(folder_);
  if (resumed) {
    find_again(run, before);
    tell(run);
  } else {
    best_.clear();
    last_path_.clear();
    top_step_ = last_step_ = -1;
  }
}

void KeptCheckpoints::find_again(Run& run, const std::filesystem::path& folder_before) {
  const auto all_found = run.ranks().from_rank_zero(fmt::format("{}/found", key_), [&] {
    Value::Array paths;
    for (const auto& saved : best_.all()) {
      paths.push_back(find_checkpoint_again(saved.path, folder_before, folder_).string());
    }
    const auto last = find_checkpoint_again(last_path_, folder_before, folder_);
    paths.push_back(is_checkpoint_of_folder(folder_, last) ? last.string() : std::string());
    return Value(std::move(paths)).to_json();
  });
  const Value found = Value::from_json(all_found);
  std::vector<std::filesystem::path> paths;
  for (const Value& path : found.as_array()) paths.emplace_back(path.as_string());
  last_path_ = paths.back();
  paths.pop_back();
  best_.set_paths(paths);
}

bool KeptCheckpoints::has_top_of(const Run& run) const {
  return options_.save_top_k == 0 || top_step_ == run.global_step();
}

void KeptCheckpoints::save_top(Run& run, double score) {
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
    save_options.link = last_path_;
  }
  tell(run);
  request(run, path, std::move(save_options));
}

void KeptCheckpoints::warn_of_unknown(Run& run, const std::string& name) const {
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

void KeptCheckpoints::take_last(Run& run) {
  last_step_ = run.global_step();
  run.wait_for_saves();
  last_path_ = agreed_path(run, "last", kLastName, {last_path_});
}

void KeptCheckpoints::save_last(Run& run) {
  if (!options_.save_last.is_on() || last_step_ == run.global_step()) return;
  take_last(run);
  tell(run);
  request(run, last_path_, {});
}

void KeptCheckpoints::save_exception(Run& run, const std::exception& error) {
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  const auto path = path_for(run, "exception-" + name, {});
  if (run.is_global_zero()) {
    diagnostics::print(
        fmt::format("saving {} because training failed: {}\n", path.string(), error.what()));
  }
  run.set_last_checkpoint(path);
  request(run, path, {});
}

std::filesystem::path KeptCheckpoints::agreed_path(
    Run& run, const char* kind, const std::string& name,
    const std::vector<std::filesystem::path>& ours) const {
  return run.ranks().from_rank_zero(fmt::format("{}/{}", key_, kind),
                                    [&] { return path_for(run, name, ours).string(); });
}

std::filesystem::path KeptCheckpoints::path_for(
    const Run& run, const std::string& name, const std::vector<std::filesystem::path>& ours) const {
  return options_.enable_version_counter ? free_checkpoint_path(run, folder_, name, ours)
                                         : checkpoint_path(folder_, name);
}

void KeptCheckpoints::request(Run& run, const std::filesystem::path& path,
                              SaveOptions save_options) {
  save_options.weights_only = options_.save_weights_only;
  save_options.asynchronous = options_.asynchronous;
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(fmt::format("epoch {}, step {}: saving {}\n", run.epoch(), run.global_step(),
                                   path.string()));
  }
  run.save(path, std::move(save_options));
}

void KeptCheckpoints::tell(Run& run) const {
  if (!best_.best_path().empty()) run.set_best_checkpoint(best_.best_path());
  if (!last_path_.empty()) run.set_last_checkpoint(last_path_);
}

}  // namespace levin
