#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>

namespace levin {

/// Options of `convert`. Those without a comment mean the same as in StreamDataModuleOptions.
struct ConvertOptions {
  /// Files of rows, folders of them, or patterns: .lvb, .npy, CSV, libsvm, IDX (gzipped too).
  std::vector<std::string> inputs{};
  /// The folder to be made, with shard-00000.lvb and so on in it. One that exists must be empty,
  /// and neither a link nor a mount point nor the working directory.
  std::string output{};
  /// The files of targets, one for each file of rows, if .npy or IDX files keep them apart.
  std::vector<std::string> targets{};
  /// The number of rows in each file that is written; 0 stands for as many as 1 GiB holds.
  int64_t rows_per_shard = 0;
  std::string format = "auto";
  std::string target_column = "-1";
  std::string header = "auto";
  bool ignore_extra_columns = false;
  /// A file of rows, or a folder of them, whose layout these rows get: the training data, if
  /// validation or test data are converted. CSV columns get the same order, by their names, libsvm
  /// rows as many features, and targets are classes or values as they are there. Empty: the first
  /// file decides.
  std::string like{};
  std::string target_type = "auto";
  int64_t num_features = 0;
  bool zero_based = false;
  /// Writes sparse rows (readers/sparse_lvb.h) instead of dense ones: of libsvm files, of .npz
  /// files that scipy.sparse.save_npz wrote, of text in Vowpal Wabbit's format (format = vw, or
  /// .vw) and of Criteo's tables (format = criteo). `targets` and `like` can't go with it.
  bool sparse = false;
  /// The rows of "vw" and "criteo" have 2^hash_bits columns; 0 stands for 18 and 20.
  int64_t hash_bits = 0;
};

/// All options but `inputs` and `output`, which `levin convert` handles itself.
Fields describe(ConvertOptions& options);

/// What `convert` has written: rows, files, and bytes of all files; and what it noted about those
/// that it has read.
struct Converted {
  int64_t rows = 0;
  int64_t shards = 0;
  uint64_t bytes = 0;
  /// What was decided about the files in case of doubt: sentences for the user.
  std::vector<std::string> notes{};
};

/// Writes the rows of files of any kind, in their order, as shards of Levin's own format, which
/// needs no parsing when it is read: "input" uint8 or float32, "target" int64 or float32. The names
/// of CSV columns are kept, so that shards can't be mixed up with others of another order. Files
/// are read a few MiB at a time, sparse rows too; only gzipped IDX files are unpacked into memory
/// as a whole, and .npz files of sparse rows, which hold them in one piece, are read so. Text of
/// sparse rows may be gzipped, too. Until its header is known, a shard of sparse rows lies in
/// several files in that folder: it may take twice its size on the disk.
///
///     levin::convert({.inputs = {"train-*.csv"}, .output = "train", .target_column = "label"});
///
/// Calls `progress`, on the calling thread, with the rows written and the rows there are; the
/// latter is 0 while text is read to find its lines. What `progress` throws ends the conversion.
///
/// Everything is written into a folder with a temporary name beside `output`, which is renamed at
/// the end. If anything fails, it is removed, and so are the empty folders made for it. Throws
/// ConfigError for invalid options and for an output that exists and isn't empty or can't be
/// replaced, DataError for files that can't be read and numbers that aren't finite, and
/// CheckpointError if writing fails.
Converted convert(const ConvertOptions& options,
                  const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace levin
