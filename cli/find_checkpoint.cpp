#include <levin/cli/find_checkpoint.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

/// The number K of a folder `version_K`; -1 for other names.
long version_of(const fs::path& folder) {
  constexpr std::string_view kPrefix = "version_";
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return -1;
  char* end = nullptr;
  const long number = std::strtol(name.c_str() + kPrefix.size(), &end, 10);
  return *end == '\0' ? number : -1;
}

/// The best checkpoint, as the run's ModelCheckpoint recorded it in the checkpoint `last`. If there
/// are several ModelCheckpoints, one with a monitor is preferred. The record says where to look and
/// isn't trusted: a file outside of the run's folder is refused, and nothing of lower preference is
/// taken in its place.
fs::path best_recorded(const fs::path& last) {
  const StateDict callbacks = load_checkpoint_outline(last).child("callbacks");
  const fs::path run = last.parent_path().parent_path();
  fs::path best;
  fs::path outside;
  bool best_is_ranked = false;
  bool outside_is_ranked = false;
  for (const auto& [key, state] : callbacks.values.as_object()) {
    if (!state.contains("best_model_path")) continue;
    fs::path path = state.at("best_model_path").as_string();
    if (path.empty()) continue;
    const bool is_ranked =
        state.contains("best_model_score") && !state.at("best_model_score").is_null();
    if (!is_checkpoint_in(run, path)) {
      // The run folder may have been moved since.
      const fs::path moved = last.parent_path() / path.filename();
      if (!is_checkpoint_in(run, moved)) {
        if (has_checkpoint(path) && (outside.empty() || is_ranked)) {
          outside = path;
          outside_is_ranked = is_ranked;
        }
        continue;
      }
      path = moved;
    }
    if (best.empty() || is_ranked) {
      best = path;
      best_is_ranked = is_ranked;
    }
    if (is_ranked) break;
  }
  if (!outside.empty() && (best.empty() || (outside_is_ranked && !best_is_ranked))) {
    throw CheckpointError::io(
        "use the best checkpoint of", run.string(),
        fmt::format("'{}' says that it is '{}', which isn't in the run's folder; give that path "
                    "instead of 'best' if you trust it",
                    last.filename().string(), outside.string()));
  }
  return best;
}

}  // namespace

std::vector<fs::path> run_folders(const fs::path& root) {
  std::vector<fs::path> runs;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root, ignored)) {
    if (version_of(entry.path()) >= 0) runs.push_back(entry.path());
  }
  std::sort(runs.begin(), runs.end(),
            [](const auto& a, const auto& b) { return version_of(a) > version_of(b); });
  return runs;
}

fs::path newest_checkpoint(const fs::path& folder) {
  fs::path newest;
  fs::file_time_type newest_time;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    // Hidden files aren't checkpoints, such as the "._last.ckpt" that macOS writes when it copies.
    if (entry.path().filename().string().starts_with('.')) continue;
    if (entry.path().extension() != ".ckpt" || !has_checkpoint(entry.path())) continue;
    const auto time = entry.last_write_time(ignored);
    const bool is_newer = newest.empty() || time > newest_time ||
                          (time == newest_time && entry.path().filename() == "last.ckpt");
    if (!is_newer) continue;
    newest = entry.path();
    newest_time = time;
  }
  return newest;
}

std::string checkpoint_of_run(const std::string& ckpt_path, const fs::path& run) {
  if (ckpt_path != "last" && ckpt_path != "best") return expand_home(ckpt_path, "ckpt_path");
  const fs::path last = newest_checkpoint(run / "checkpoints");
  if (last.empty()) {
    throw CheckpointError::io("find the " + ckpt_path + " checkpoint of", run.string(),
                              "the run has no checkpoints; give the path of a file");
  }
  const fs::path found =
      ckpt_path == "last" ? last : naming_checkpoint(last, [&] { return best_recorded(last); });
  if (!found.empty()) return found.string();
  throw CheckpointError::io(
      "find the best checkpoint of", run.string(),
      "'" + last.filename().string() + "' doesn't say which it is; give the path of a file");
}

std::string find_checkpoint(const std::string& ckpt_path, const fs::path& default_root_dir) {
  if (ckpt_path != "last" && ckpt_path != "best") return expand_home(ckpt_path, "ckpt_path");
  const fs::path root =
      fs::path(expand_home(default_root_dir.string(), "default_root_dir")) / "levin_logs";
  for (const auto& run : run_folders(root)) {
    if (!newest_checkpoint(run / "checkpoints").empty()) return checkpoint_of_run(ckpt_path, run);
  }
  throw CheckpointError::io("find the " + ckpt_path + " checkpoint under", root.string(),
                            "no run there has checkpoints; give the path of a file");
}

}  // namespace levin
