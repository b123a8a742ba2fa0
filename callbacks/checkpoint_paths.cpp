#include <levin/callbacks/checkpoint_paths.h>

#include <fmt/format.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/logged/missing_monitor.h>
#include <levin/framework/run/run.h>

#include <utility>

namespace levin {

CheckpointPaths::CheckpointPaths(const ModelCheckpointOptions& options, std::string key)
    : dirpath_(options.dirpath),
      adds_versions_(options.enable_version_counter),
      name_(options.filename.empty() ? "{epoch}-{step}" : options.filename,
            options.auto_insert_metric_name),
      key_(std::move(key)) {}

void CheckpointPaths::begin(Run& run) {
  folder_ = plain_folder(dirpath_.empty() ? run.log_dir() / "checkpoints" : Path(dirpath_));
  if (run.is_global_zero()) files::create_folder(folder_);
}

CheckpointPaths::Path CheckpointPaths::for_step(Run& run, const std::vector<Path>& ours) const {
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  warn_of_unknown(run, name);
  return agreed(run, "top", name, ours);
}

void CheckpointPaths::warn_of_unknown(Run& run, const std::string& name) const {
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

CheckpointPaths::Path CheckpointPaths::for_last(Run& run, const Path& present) const {
  return agreed(run, "last", "last", {present});
}

CheckpointPaths::Path CheckpointPaths::for_exception(Run& run) const {
  const auto name = name_.format(run.epoch(), run.global_step(), run.metrics());
  return path_for(run, "exception-" + name, {});
}

CheckpointPaths::Path CheckpointPaths::agreed(Run& run, const char* kind, const std::string& name,
                                              const std::vector<Path>& ours) const {
  return run.ranks().from_rank_zero(fmt::format("{}/{}", key_, kind),
                                    [&] { return path_for(run, name, ours).string(); });
}

CheckpointPaths::Path CheckpointPaths::path_for(const Run& run, const std::string& name,
                                                const std::vector<Path>& ours) const {
  return adds_versions_ ? free_checkpoint_path(run, folder_, name, ours)
                        : checkpoint_path(folder_, name);
}

CheckpointPaths::Files CheckpointPaths::find_again(Run& run, const Path& folder_before,
                                                   const Files& files) const {
  const auto all_found = run.ranks().from_rank_zero(fmt::format("{}/found", key_), [&] {
    Value::Array paths;
    for (const auto& path : files.best) {
      paths.push_back(find_checkpoint_again(path, folder_before, folder_).string());
    }
    const auto last = find_checkpoint_again(files.last, folder_before, folder_);
    paths.push_back(is_checkpoint_of_folder(folder_, last) ? last.string() : std::string());
    return Value(std::move(paths)).to_json();
  });
  const Value parsed = Value::from_json(all_found);
  Files found;
  for (const Value& path : parsed.as_array()) found.best.emplace_back(path.as_string());
  found.last = found.best.back();
  found.best.pop_back();
  return found;
}

}  // namespace levin
