#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/core/files.h>
#include <levin/framework/data/row_keys.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Writes predictions as a CSV file with a header (RFC 4180; lines end in LF), a line for each row,
/// some rows at a time, so that any number of them takes little memory.
///
/// A tensor [rows] or [rows, 1] is a column of its name. A tensor [rows, n] is the n columns
/// name_0, name_1 ... or, if there are n `class_names`, a column for each class:
///
///     class,class_name,probability_ant,probability_bee
///     1,bee,0.25,0.75
///
/// If there are class names, the tensor of integers "class" is followed by a column "class_name" of
/// the names; a number that is no class is written as it is. The same holds for "group" and the
/// names of groups. Numbers have as many digits as it takes to read the same number again.
///
/// If `keys` have a name, they are the first column; predictions may be fewer than keys, because a
/// limit of batches has left out the last rows.
class PredictionsCsv {
 public:
  /// Writes nothing yet.
  PredictionsCsv(std::filesystem::path path, std::vector<std::string> class_names, RowKeys keys,
                 std::vector<std::string> group_names = {});
  /// Removes what was written, unless `finish` was called.
  ~PredictionsCsv();
  PredictionsCsv(const PredictionsCsv&) = delete;
  PredictionsCsv& operator=(const PredictionsCsv&) = delete;

  /// Writes the next rows. Throws ConfigError, before any of them is written, if a tensor has more
  /// than two dimensions, if the tensors differ in their rows, or if they have other columns than
  /// those before; CheckpointError if the file can't be written.
  void add(const NamedTensors& predictions);
  /// Puts the file in its place, where there is the old one, if any, until then. Throws
  /// CheckpointError if that fails.
  void finish();
  int64_t rows() const { return rows_; }

 private:
  void write_header(const std::vector<std::string>& names);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::vector<std::string> class_names_;
  std::vector<std::string> group_names_;
  RowKeys keys_;
  files::AppendFile file_;
  std::vector<std::string> names_;  // of the columns behind the key
  bool has_header_ = false;
  bool is_finished_ = false;
  int64_t rows_ = 0;
};

/// The same for predictions in memory.
void write_predictions_csv(const std::filesystem::path& path, const NamedTensors& predictions,
                           const std::vector<std::string>& class_names, const RowKeys& keys = {});

}  // namespace levin
