#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <levin/datamodules/readers/sparse_ahead.h>
#include <levin/datamodules/sparse_batch.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/source_files.h>

namespace levin {

/// The rows of text files as a data set whose size isn't known: each pass reads the files once, in
/// order, and threads parse them ahead. Files of any size take the memory of a few MiB of text.
///
///     SparseLines rows(files, maker, {.columns = 1 << 18}, /*threads=*/1);
///     DataLoader loader(std::make_shared<SparseLines>(...), {.batch_size = 512});
///
/// Rows in front of those that are kept make it start at the front again, so that a fit that goes
/// on parses what it skips. Use it without workers, which would ask for rows out of order.
class SparseLines : public Dataset, public HasSourceFiles {
 public:
  /// Opens no file. Throws what SparseAhead throws.
  SparseLines(std::vector<std::filesystem::path> files, readers::MakeFormat make_format,
              SparseLayout layout, int64_t threads,
              std::optional<Standardization> standardization = {});

  std::optional<int64_t> size() const override { return {}; }
  /// Throws DataError, with file and line, for text that breaks its format, for a target that isn't
  /// a whole number although they are classes, and if classes are both -1 and 0.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  std::vector<std::filesystem::path> source_files() const override { return files_; }

 private:
  /// Rows that are kept, from row `first` of the files on.
  struct Piece {
    int64_t first = 0;
    readers::ParsedRows parsed = {};
    int64_t end() const { return first + parsed.rows.rows(); }
  };
  void start_again() const;
  bool pull() const;
  void check_targets(const readers::ParsedRows& parsed) const;
  void fill(int64_t first, int64_t count, Batch& out) const;

  std::vector<std::filesystem::path> files_;
  readers::MakeFormat make_format_;
  SparseLayout layout_;
  int64_t threads_;
  std::optional<Standardization> standardization_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::unique_ptr<readers::SparseAhead> text_;
  mutable std::deque<Piece> pieces_;
  mutable std::vector<readers::ParsedRows> spares_;
  mutable std::vector<SparseRange> ranges_;
  mutable int64_t end_ = 0;  // of the rows that were parsed
  mutable bool has_minus_one_ = false;
  mutable bool has_zero_ = false;
};

}  // namespace levin
