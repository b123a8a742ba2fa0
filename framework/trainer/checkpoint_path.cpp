#include <levin/framework/trainer/checkpoint_path.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {

std::filesystem::path checkpoint_path(const std::string& ckpt_path, const RunControl& run) {
  if (ckpt_path != "best" && ckpt_path != "last") return expand_home(ckpt_path, "ckpt_path");
  const auto& path = ckpt_path == "best" ? run.best_checkpoint() : run.last_checkpoint();
  if (path.empty()) {
    throw ConfigError::invalid_value(
        "ckpt_path", ckpt_path,
        "this Trainer hasn't saved such a checkpoint yet; add a ModelCheckpoint, or give the path "
        "of a checkpoint");
  }
  return path;
}

std::filesystem::path run_folder_of(const std::filesystem::path& checkpoint) {
  const auto folder = std::filesystem::absolute(checkpoint).parent_path();
  return folder.filename() == "checkpoints" ? folder.parent_path() : std::filesystem::path();
}

std::filesystem::path run_folder_to_go_on_in(const std::filesystem::path& checkpoint,
                                             const std::string& default_root_dir,
                                             const RunControl& run) {
  return run.ranks().from_rank_zero("Trainer/run_folder", [&] {
    const auto folder = run_folder_of(checkpoint);
    std::error_code ignored;  // paths that can't be followed are compared as they are
    const auto followed = [&](const std::filesystem::path& path) {
      const auto canonical = std::filesystem::weakly_canonical(path, ignored);
      return canonical.empty() ? path : canonical;
    };
    const bool is_here =
        default_root_dir.empty() ||
        followed(folder.parent_path()) == followed(std::filesystem::absolute(run.runs_folder()));
    return is_here ? folder.string() : std::string();
  });
}

}  // namespace levin
