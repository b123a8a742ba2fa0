#pragma once

#include <cstdint>
#include <string_view>

#include <levin/datamodules/readers/number_list.h>

/// Rows of which only the numbers other than 0 are stored (compressed sparse rows, CSR).
///
/// Start here: `SparseRows` is what all readers of sparse rows return. `sparse_libsvm.h` reads
/// libsvm text, `sparse_npz.h` what scipy.sparse.save_npz writes, `sparse_vw.h` Vowpal Wabbit's
/// text, `sparse_criteo.h` tables whose cells are hashed, and `sparse_lvb.h` writes and reads
/// Levin's own shards.
namespace levin::readers {

/// Sparse rows in memory. Row r has the entries offsets[r] to offsets[r + 1] - 1; an entry is a
/// column and a value. It takes 4 bytes an entry if all values are 1, else 8, and 12 a row.
struct SparseRows {
  SparseRows() { offsets.push_back(0); }

  /// [rows + 1], the first of them 0.
  NumberList<int64_t> offsets = {};
  /// [entries], the column of each, in [0, columns). Within a row they rise strictly.
  NumberList<int32_t> indices = {};
  /// [entries], finite; empty if all are 1.
  NumberList<float> values = {};
  /// [rows]; empty if the rows have none.
  NumberList<float> targets = {};
  /// [rows], how much each row counts; empty if all count the same.
  NumberList<float> weights = {};
  /// [rows], the query that a row belongs to, in data for ranking; empty if there is none.
  NumberList<int64_t> qids = {};
  /// The number of columns, at most kMostColumns.
  int64_t columns = 0;

  static constexpr int64_t kMostColumns = 2147483647;  // 2^31 - 1

  int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t entries() const { return static_cast<int64_t>(indices.size()); }
  /// The bytes that the lists hold.
  uint64_t bytes() const;

  /// Adds an entry to the row that `end_row` will end.
  void add(int32_t column, float value) {
    if (value != 1.0F && values.empty()) values.append_copies(indices.size(), 1.0F);
    indices.push_back(column);
    if (value != 1.0F || !values.empty()) values.push_back(value);
  }
  /// Ends the row that consists of the entries added since the last one.
  void end_row() { offsets.push_back(static_cast<int64_t>(indices.size())); }
  /// Sorts the entries from number `first` on, which belong to the row that is being added, by
  /// their columns, and makes one of those that have the same column, with the sum of their values.
  /// Returns false if a sum isn't finite.
  bool sort_from(size_t first);
  /// Adds the rows of `other` behind these, except for `columns`. If only one of the two has
  /// weights, the rows of the other one count 1; targets and qids must be in both or in neither.
  void append(const SparseRows& other);
  /// Removes all rows, but keeps the memory.
  void clear();
  /// Gives back the memory that the lists don't use.
  void shrink();
  /// Returns the rows first to first + count - 1, which must exist, in memory of their own.
  SparseRows slice(int64_t first, int64_t count) const;
  /// Throws DataError::corrupt, with `name`, unless all that is promised above holds; `hint` says
  /// what to do. For rows that a file holds as they are.
  void check(std::string_view name, std::string_view hint) const;
};

}  // namespace levin::readers
