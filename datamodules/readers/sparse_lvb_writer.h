#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include <levin/datamodules/readers/sparse_rows.h>
#include <levin/framework/core/files.h>

namespace levin::readers {

/// Writes a shard of sparse rows (sparse_lvb.h) of which the rows come in pieces, in the memory of
/// a piece. Each list grows in a file of its own, beside the shard, until `finish` puts them
/// together; what is only known at the end, such as the number of columns, is given then.
///
///     SparseLvbWriter shard("shard-00000.lvb");
///     for (const auto& rows : pieces) shard.append(rows, 0, rows.rows());
///     shard.finish({.columns = 1 << 18});
///
/// Without `finish`, the files of the lists stay where they are, for the caller to remove with
/// their folder. All functions throw CheckpointError if a file can't be written.
class SparseLvbWriter {
 public:
  explicit SparseLvbWriter(std::filesystem::path path);

  /// Adds rows first to first + count - 1 of `rows`. As in SparseRows::append, targets and qids
  /// must be in all pieces or in none, and rows without values or weights have ones if others have
  /// some.
  void append(const SparseRows& rows, int64_t first, int64_t count);
  int64_t rows() const { return rows_; }
  /// How many of the rows from `first` on can be added, so that the lists of the shard have at most
  /// `most_bytes`; at least 1 if the shard is empty.
  int64_t rows_within(uint64_t most_bytes, const SparseRows& rows, int64_t first) const;
  /// Writes what waits in memory, and closes the files. No rows may be added after that.
  void close();

  struct Ending {
    int64_t columns = 0;
    /// Whether targets of -1 become 0.
    bool has_signs = false;
    /// Called about every MiB; what it throws ends the writing.
    std::function<void()> while_writing{};
  };
  /// Makes the shard, so that a reader sees either no file or the whole one, and removes the files
  /// of the lists. Returns its size in bytes.
  uint64_t finish(const Ending& ending);

 private:
  struct List {
    std::filesystem::path path;
    files::AppendFile file;
    uint64_t bytes = 0;
  };
  template <class T>
  void add(List& list, std::span<const T> numbers);
  void add_or_ones(List& list, int64_t before, std::span<const float> numbers, int64_t count);
  void copy(List& list, bool has_signs, const Ending& ending, files::AppendFile& to);

  std::filesystem::path path_;
  int64_t rows_ = 0;
  int64_t entries_ = 0;
  List offsets_, targets_, weights_, qids_, indices_, values_;
};

}  // namespace levin::readers
