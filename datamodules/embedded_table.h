#pragma once

#include <string_view>

#include <levin/datamodules/array.h>

namespace levin::embedded {

/// The table of one of levin::data's files: x [rows, columns - 1] float64, y [rows] int64, the last
/// column.
struct Table {
  torch::Tensor x;
  torch::Tensor y;
};
Table read_table(std::string_view csv, std::string_view name);

/// The settings that a data module of its own data shares with ArrayDataModule.
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
          .pin_memory = options.pin_memory};
}

}  // namespace levin::embedded
