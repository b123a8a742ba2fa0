#include <levin/callbacks/checkpoint_folder.h>

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

constexpr const char* kCheckpointExtension = ".ckpt";

}  // namespace

std::filesystem::path plain_folder(const std::filesystem::path& folder) {
  auto plain = std::filesystem::absolute(folder).lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

bool is_checkpoint_of_folder(const std::filesystem::path& folder,
                             const std::filesystem::path& path) {
  return path.extension() == kCheckpointExtension && is_checkpoint_in(folder, path);
}

bool is_gone(const std::filesystem::path& path) {
  std::error_code error;
  return !path.empty() && !std::filesystem::exists(path, error) && !error;
}

std::filesystem::path checkpoint_path(const std::filesystem::path& folder,
                                      const std::string& name) {
  return folder / (name + kCheckpointExtension);
}

std::filesystem::path free_checkpoint_path(const Run& run, const std::filesystem::path& folder,
                                           const std::string& name,
                                           const std::vector<std::filesystem::path>& ours) {
  for (int64_t version = 0;; ++version) {
    const auto suffix = version == 0 ? std::string() : fmt::format("-v{}", version);
    const auto path = checkpoint_path(folder, name + suffix);
    if (std::find(ours.begin(), ours.end(), path) != ours.end()) return path;
    if (!files::exists(path) && !run.save_requested(path)) return path;
  }
}

std::filesystem::path find_checkpoint_again(const std::filesystem::path& path,
                                            const std::filesystem::path& folder_before,
                                            const std::filesystem::path& folder) {
  const auto relative =
      path.lexically_normal().lexically_relative(folder_before.lexically_normal());
  const auto own = (folder / relative).lexically_normal();
  if (!relative.empty() && is_checkpoint_of_folder(folder, own)) return own;
  // What lies outside of the folder is only ever read.
  const bool is_elsewhere = path.extension() == kCheckpointExtension && has_checkpoint(path);
  return is_elsewhere ? path : std::filesystem::path();
}

}  // namespace levin
