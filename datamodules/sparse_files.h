#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/readers/sparse_criteo.h>
#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_rows.h>
#include <levin/datamodules/readers/sparse_text.h>
#include <levin/datamodules/readers/sparse_vw.h>
#include <levin/framework/core/value.h>

namespace levin {

/// How files of sparse rows are read: the options of SparseDataModule that say so, under the same
/// names, and what was learned from the training files.
struct SparseFileOptions {
  /// "libsvm", "npz", "vw", "criteo" or "lvb"; "auto" takes what the files' names say.
  std::string format = "auto";
  /// The number of columns; 0: not known yet.
  int64_t columns = 0;
  std::optional<bool> zero_based = {};
  bool sort_indices = false;
  /// 0 stands for 18 for Vowpal Wabbit's text, and for 20 for Criteo's tables.
  int64_t hash_bits = 0;
  std::vector<std::string> quadratic = {};
  bool constant = false;
  bool hash_all = false;
  int64_t hash_seed = 0;
  /// Threads that parse text.
  int64_t threads = 1;
};

/// The format of files that all have the same: `format`, or what their names say if it is "auto".
/// Throws DataError for files of no known or of several formats; ConfigError for an unknown one.
std::string sparse_format(const std::vector<std::filesystem::path>& files,
                          const std::string& format);
/// Whether the columns of a format are hashes of names.
bool is_hashed(const std::string& format);
/// Whether rows of a format are lines of text.
bool is_sparse_text(const std::string& format);
/// The number of bits of hashes in a format.
int64_t hash_bits_of(const SparseFileOptions& options, const std::string& format);
/// How names are hashed, for a checkpoint; null if the format has no hashes.
Value hash_settings(const SparseFileOptions& options, const std::string& format);
/// Takes over the hash settings of the training data. Throws ConfigError if an option says
/// something else.
void take_hash_settings(const Value& trained, SparseFileOptions& options);

/// Reads files of one format into memory, one after another. If `columns` or `zero_based` are
/// open, they are found in the files and set in `options`. `skip_targets` is for files to be
/// predicted for, in which Vowpal Wabbit's and Criteo's lines may have no label. Throws what the
/// readers throw; DataError if rows of one file have targets and those of another don't, and for a
/// .lvb file with more columns than there are.
std::shared_ptr<readers::SparseRows> read_sparse_files(
    const std::vector<std::filesystem::path>& files, SparseFileOptions& options, bool skip_targets);

/// Makes the syntaxes of text files to be read in stretches; keeps copies of the options. Throws
/// ConfigError if `columns` or `zero_based` of libsvm files isn't known.
readers::MakeFormat sparse_format_maker(const std::vector<std::filesystem::path>& files,
                                        const SparseFileOptions& options, bool skip_targets);

}  // namespace levin
