#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>

namespace levin {

/// What goes in is said as in StreamDataModuleOptions.
struct ConvertOptions {
  /// Files of rows, folders of them, or patterns: .lvb, .npy, CSV, libsvm, IDX (gzipped too).
  std::vector<std::string> inputs{};
  /// The folder to be made, with shard-00000.lvb and so on; one that is there must be empty, and no
  /// link, mount point or folder one is in.
  std::string output{};
  /// Files of targets, one a file of rows, where they have their own (.npy and IDX).
  std::vector<std::string> targets{};
  /// Rows a shard; 0: as many as 1 GiB holds.
  int64_t rows_per_shard = 0;
  std::string format = "auto";
  std::string target_column = "-1";
  std::string target_type = "auto";
  int64_t num_features = 0;
  bool zero_based = false;
};

/// All but `inputs` and `output`, which a command line says otherwise.
Fields describe(ConvertOptions& options);

/// What was written.
struct Converted {
  int64_t rows = 0;
  int64_t shards = 0;
  uint64_t bytes = 0;
};

/// Writes the rows of files of any kind, in their order, as shards of Levin's own format: "input"
/// uint8 or float32, "target" int64 or float32. Calls `progress` with rows done and rows there are,
/// which isn't known (0) while text is read to find its lines.
///
/// Everything is written into a folder of a temporary name, which is renamed at the end and removed
/// where something fails, `progress` throwing included, with the folders made for it. Throws
/// ConfigError for options that can't be and an output that is there already or can't be replaced,
/// DataError for files that can't be read and numbers that aren't finite, CheckpointError where
/// writing fails.
Converted convert(const ConvertOptions& options,
                  const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace levin
