#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/data/row_keys.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Writes predictions as a CSV file with a header (RFC 4180; lines end in LF), a line for each row.
///
/// A tensor [rows] or [rows, 1] is a column of its name. A tensor [rows, n] is the n columns
/// name_0, name_1 ... or, if there are n `class_names`, a column for each class:
///
///     class,class_name,probability_ant,probability_bee
///     1,bee,0.25,0.75
///
/// If there are class names, the tensor of integers "class" is followed by a column "class_name" of
/// the names; a number that is no class is written as it is. Numbers have as many digits as it
/// takes to read the same number again.
///
/// If `keys` have a name, they are the first column; predictions may be fewer than keys, because a
/// limit of batches has left out the last rows.
///
/// Throws ConfigError, before anything is written, if a tensor has more than two dimensions or if
/// the tensors differ in their rows; CheckpointError if the file can't be written.
void write_predictions_csv(const std::filesystem::path& path, const NamedTensors& predictions,
                           const std::vector<std::string>& class_names, const RowKeys& keys = {});

}  // namespace levin
