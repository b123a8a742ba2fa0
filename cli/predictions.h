#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/data/row_keys.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Checks, before any work is done, that predictions can be written to `path`, and makes its
/// folder. Throws ConfigError for an extension other than .csv, .npz and .npy, CheckpointError if
/// the folder can't be made.
void check_output(const std::filesystem::path& path);

/// Writes the tensors that `Trainer::predict` returned, each under its name, as the arrays of a
/// .npz file or the columns of a .csv file (predictions_csv.h), which has the names of the classes
/// and the keys of the rows, too; a single one can also be a .npy file. bfloat16, which NumPy
/// lacks, becomes float32. Throws ConfigError for several tensors and a .npy file, ModuleError for
/// a type that NumPy lacks.
void write_predictions(const std::filesystem::path& path, const NamedTensors& predictions,
                       const std::vector<std::string>& class_names = {}, const RowKeys& keys = {});

}  // namespace levin
