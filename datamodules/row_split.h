#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <levin/datamodules/splits.h>
#include <levin/framework/core/stage.h>
#include <levin/framework/core/value.h>

namespace levin {

/// Which rows of a file are trained, validated and tested on: what ArrayDataModule and
/// TableDataModule have in common. Both take the same rows of files of the same number of rows.
struct RowSplit {
  /// The file; empty if the rows aren't those of a file.
  std::string file{};
  /// The shares of the rows to validate and to test on.
  double val_split = 0.0;
  double test_split = 0.0;
  bool shuffle = true;
  bool stratify = false;
  int64_t seed = 42;
  /// Whether each row is drawn by itself, as in a stream whose rows are shuffled.
  bool draws_rows = false;
};

/// The settings as a value for a checkpoint; null if the rows aren't those of a file.
Value to_value(const RowSplit& split);

/// Divides `rows` rows. `labels` [rows] are needed if `split.stratify`. Throws ConfigError for
/// shares that can't be, DataError for a class with too few rows.
Split split_rows(int64_t rows, const RowSplit& split, std::span<const int64_t> labels = {});

/// Throws DataError if the split leaves no row to a set that `stage` needs and that was asked for.
void require_no_empty_set(int64_t rows, const RowSplit& split, Stage stage);

/// Returns a note for the user if rows that are validated or tested on may be rows that the model
/// was trained on, because the same file was divided by other settings; else an empty text.
/// `trained` is what `to_value` returned for the training; null if that isn't known.
std::string note_on_split(const Value& trained, const RowSplit& here, Stage stage);

}  // namespace levin
