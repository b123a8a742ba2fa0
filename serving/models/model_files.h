#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace levin {

/// By what a file that was replaced or written to is told from what it was before.
struct FileStamp {
  int64_t modified_ns = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  bool operator==(const FileStamp&) const = default;
};

/// A checkpoint of a ModelSource.
struct FoundCheckpoint {
  std::filesystem::path path{};
  FileStamp stamp{};
  /// When anything about the file changed, its permissions included (st_ctime).
  int64_t touched_ns = 0;
  /// The name of its folder in a numbered repository; 0 for others.
  int64_t number = 0;
};

/// Returns the checkpoints that a model is served from: the file `path`, the newest of each folder
/// in `path` whose name is a number, in their order, or else the newest in `path` and the folders
/// below it. Empty if there is none. A checkpoint is a folder that a sharded run wrote or, in
/// folders, a file with one of the extensions .ckpt, .safetensors, .pt and .pth.
std::vector<FoundCheckpoint> find_checkpoints(const std::filesystem::path& path);

}  // namespace levin
