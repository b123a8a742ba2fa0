#include <levin/serving/models/model_files.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr int kMostDepth = 4;  // levin_logs/version_3/checkpoints/best.ckpt

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// `checkpoint`, which is `file` or a folder with it.
std::optional<FoundCheckpoint> checkpoint_of(const fs::path& checkpoint, const fs::path& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) != 0) return {};
  return FoundCheckpoint{.path = checkpoint,
                         .stamp = {.modified_ns = nanoseconds(status.st_mtim),
                                   .device = static_cast<uint64_t>(status.st_dev),
                                   .inode = static_cast<uint64_t>(status.st_ino),
                                   .size = static_cast<uint64_t>(status.st_size)},
                         .touched_ns = nanoseconds(status.st_ctim)};
}

/// The checkpoint that a sharded run wrote into a folder.
std::optional<FoundCheckpoint> sharded_checkpoint_in(const fs::path& folder) {
  return checkpoint_of(folder, folder / "index.json");
}

bool is_checkpoint_name(const fs::path& path) {
  static constexpr std::array<std::string_view, 4> kExtensions = {".ckpt", ".safetensors", ".pt",
                                                                  ".pth"};
  const auto name = path.filename().string();
  return !name.starts_with('.') && std::find(kExtensions.begin(), kExtensions.end(),
                                             path.extension().string()) != kExtensions.end();
}

void keep_newer(std::optional<FoundCheckpoint>& newest, FoundCheckpoint other) {
  const auto is_newer = [&] {
    if (newest->stamp.modified_ns != other.stamp.modified_ns) {
      return newest->stamp.modified_ns < other.stamp.modified_ns;
    }
    return newest->path < other.path;
  };
  if (!newest || is_newer()) newest = std::move(other);
}

/// The newest checkpoint in a folder and those below it. What can't be read is left out.
std::optional<FoundCheckpoint> newest_checkpoint_in(const fs::path& folder, int depth = 0) {
  if (auto sharded = sharded_checkpoint_in(folder)) return sharded;
  std::optional<FoundCheckpoint> newest;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto& path = entry->path();
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      if (depth >= kMostDepth) continue;
      if (auto found = newest_checkpoint_in(path, depth + 1)) keep_newer(newest, *found);
    } else if (is_checkpoint_name(path)) {
      if (auto found = checkpoint_of(path, path)) keep_newer(newest, *std::move(found));
    }
  }
  return newest;
}

/// The number that is the whole name of a folder; 0 if it isn't one.
int64_t number_of(const fs::path& folder) {
  const auto name = folder.filename().string();
  const int64_t number = number_in<int64_t>(name).value_or(0);
  return number > 0 && name.front() != '0' ? number : 0;
}

std::vector<fs::path> numbered_folders(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (number_of(entry->path()) > 0 && fs::is_directory(entry->path(), ignored)) {
      folders.push_back(entry->path());
    }
  }
  std::sort(folders.begin(), folders.end(),
            [](const fs::path& a, const fs::path& b) { return number_of(a) < number_of(b); });
  return folders;
}

}  // namespace

std::vector<FoundCheckpoint> find_checkpoints(const fs::path& path) {
  std::vector<FoundCheckpoint> found;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    if (auto file = checkpoint_of(path, path)) found.push_back(*std::move(file));
    return found;
  }
  for (const auto& folder : numbered_folders(path)) {
    auto newest = newest_checkpoint_in(folder);
    if (!newest) continue;
    newest->number = number_of(folder);
    found.push_back(*std::move(newest));
  }
  if (!found.empty()) return found;
  if (auto newest = newest_checkpoint_in(path)) found.push_back(*std::move(newest));
  return found;
}

}  // namespace levin
