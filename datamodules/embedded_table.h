#pragma once

#include <string_view>

#include <levin/datamodules/array.h>

/// What IrisDataModule and DigitsDataModule share. It isn't meant for users of the library: take
/// one of those modules, or ArrayDataModule for data of your own.
///
///     static const auto table = embedded::read_table(data::iris_csv(), "iris.csv");
///     ArrayDataModule module(table.x, table.y, embedded::array_options(options, 3));
namespace levin::embedded {

/// A data set that is part of the library, as tensors on the CPU that share no memory with the
/// text.
struct Table {
  /// The features, [rows, columns - 1] float64.
  torch::Tensor x;
  /// The classes, [rows] int64: the last column of the text.
  torch::Tensor y;
};
/// Parses a CSV text with a header line, which must hold only numbers. `name` is what errors call
/// it. Every call parses the text again; the data modules keep the result in a static variable.
/// Throws DataError for a text that is no such table.
Table read_table(std::string_view csv, std::string_view name);

/// Returns the options of the ArrayDataModule that a data module of its own data is derived from.
/// `Options` is the module's own option struct, whose fields have the same names. Options that say
/// where the data comes from, and target_type, stay at their defaults. Labels must be below
/// `num_classes`.
template <class Options>
ArrayDataModuleOptions array_options(const Options& options, int64_t num_classes) {
  return {.batch_size = options.batch_size,
          .val_split = options.val_split,
          .test_split = options.test_split,
          .shuffle = options.shuffle,
          .stratify = options.stratify,
          .seed = options.seed,
          .num_classes = num_classes,
          .dtype = options.dtype,
          .drop_last = options.drop_last,
          .num_workers = options.num_workers,
          .pin_memory = options.pin_memory,
          .standardize = options.standardize};
}

}  // namespace levin::embedded
