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

}  // namespace levin
