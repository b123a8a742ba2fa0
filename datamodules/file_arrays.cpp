#include <levin/datamodules/file_arrays.h>

#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <new>

#include <levin/datamodules/readers/csv.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

std::string extension(const std::string& path) {
  return to_small_letters(std::filesystem::path(path).extension().string());
}

bool is_csv(const std::string& path) {
  const auto kind = extension(path);
  return kind == ".csv" || kind == ".tsv";
}

torch::Tensor from_doubles(std::vector<double> values, at::IntArrayRef shape) {
  auto owner = std::make_shared<std::vector<double>>(std::move(values));
  return at::from_blob(
      owner->data(), shape, [owner](void*) {}, at::TensorOptions(at::kDouble));
}

/// A CSV file doesn't say whether its targets are classes: they become integers if all are whole.
torch::Tensor whole_as_integers(torch::Tensor y) {
  const double* values = y.const_data_ptr<double>();
  const bool whole = std::all_of(values, values + y.numel(), readers::is_whole);
  return whole ? y.to(at::kLong) : y;
}

FileArrays read_csv_arrays(const std::string& path, const readers::CsvOptions& options) {
  auto table = readers::read_csv(path, options);
  FileArrays arrays;
  const auto columns = static_cast<int64_t>(table.columns.size());
  arrays.x = from_doubles(std::move(table.values), {table.rows, columns});
  if (!table.targets.empty()) {
    arrays.y = whole_as_integers(from_doubles(std::move(table.targets), {table.rows}));
    arrays.class_names = std::move(table.classes);
  }
  if (!table.note.empty()) arrays.notes.push_back(std::move(table.note));
  arrays.layout = std::move(table.layout);
  return arrays;
}

/// The array of that name, else the one with "_train" behind it, as in Keras' mnist.npz, else that
/// of the name `plain`, if that isn't empty; undefined if the file has none of them.
torch::Tensor find_in_npz(const std::string& path, const std::string& name,
                          const std::string& plain) {
  const auto names = readers::npz_names(path);
  for (const auto& candidate : {name, name + "_train", plain}) {
    if (std::find(names.begin(), names.end(), candidate) != names.end()) {
      return to_tensor(readers::read_npz(path, candidate), fmt::format("{}, {}", path, candidate));
    }
  }
  return {};
}

torch::Tensor read_npz_array(const std::string& path, const std::string& name,
                             const std::string& plain) {
  auto found = find_in_npz(path, name, plain);
  if (found.defined()) return found;
  const auto names = readers::npz_names(path);
  const auto& only = names.size() == 1 ? names.front() : name;
  return to_tensor(readers::read_npz(path, only), fmt::format("{}, {}", path, only));
}

DataError unknown_kind(const std::string& path) {
  const auto kind = extension(path);
  std::string remedy;
  if (kind == ".gz") remedy = "unpack it with gunzip";
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) remedy = "StreamDataModule reads folders";
  for (const char* streamed : {".libsvm", ".svm", ".svmlight", ".lvb", ".idx"}) {
    if (kind == streamed) remedy = "StreamDataModule reads " + kind + " files";
  }
  std::string more = "; " + remedy;
  if (remedy.empty()) more = missing_file_of_other_ending(path, {".npy", ".npz", ".csv", ".tsv"});
  if (more.empty()) more = "; save it as one of them";
  return DataError::unreadable(path, "expected a .npy, .npz or .csv file" + more);
}

std::optional<int64_t> rows_of(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() == 0) return {};
  return tensor.size(0);
}

/// Reads a file that holds only targets; `rows` is their number, if it is known.
FileArrays read_targets(const FileNames& names, std::optional<int64_t> rows) {
  const std::string& path = names.y;
  const auto kind = extension(path);
  FileArrays arrays;
  if (kind == ".npy") {
    arrays.y = to_tensor(readers::read_npy(path), path);
  } else if (kind == ".npz") {
    arrays.y = read_npz_array(path, names.y_name, names.may_be_plain ? "y" : "");
  } else if (is_csv(path)) {
    arrays = read_csv_arrays(path, {.header = names.header,
                                    .target_column = "-1",
                                    .sort_classes = true,
                                    .text_targets = names.text_targets,
                                    .rows = rows});
    if (arrays.x.size(1) > 0) {
      throw DataError(
          fmt::format("{} has {} columns, but a file of targets must have one; remove the others",
                      path, arrays.x.size(1) + 1));
    }
  } else {
    throw unknown_kind(path);
  }
  return arrays;
}

/// Reads the file of features, and its targets unless they have a file of their own.
FileArrays read_features(const FileNames& names, std::optional<int64_t> rows) {
  const auto kind = extension(names.x);
  FileArrays arrays;
  if (kind == ".npy") {
    arrays.x = to_tensor(readers::read_npy(names.x), names.x);
  } else if (kind == ".npz") {
    arrays.x = read_npz_array(names.x, names.x_name, names.may_be_plain ? "x" : "");
    if (names.y.empty() && !names.skip_target) {
      arrays.y = find_in_npz(names.x, names.y_name, names.may_be_plain ? "y" : "");
    }
  } else if (is_csv(names.x)) {
    arrays =
        read_csv_arrays(names.x, {.header = names.header,
                                  .target_column = names.y.empty() ? names.target_column : "none",
                                  .sort_classes = true,
                                  .text_targets = names.text_targets,
                                  .like = names.like,
                                  .ignore_extra_columns = names.ignore_extra_columns,
                                  .target_optional = names.target_optional || !names.y.empty(),
                                  .skip_target = names.skip_target,
                                  .rows = rows});
    if (arrays.x.size(1) == 0) throw readers::no_features(names.x);
  } else {
    throw unknown_kind(names.x);
  }
  return arrays;
}

/// Runs `work`, which reads the file at `path`. If memory runs out, the error names that file.
template <class Work>
FileArrays naming_file(const std::string& path, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw DataError::unreadable(path,
                                "there isn't enough memory for the numbers in it; use "
                                "StreamDataModule for data that is larger than memory");
  }
}

FileArrays read_features_of(const FileNames& names, std::optional<int64_t> rows) {
  return naming_file(names.x, [&] { return read_features(names, rows); });
}
FileArrays read_targets_of(const FileNames& names, std::optional<int64_t> rows) {
  return naming_file(names.y, [&] { return read_targets(names, rows); });
}

/// Notes that one of two CSV files has a header and the other has none, so that their columns can't
/// be matched by name.
void note_order(const FileNames& names, FileArrays& arrays) {
  if (!arrays.layout || !names.like) return;
  if (arrays.layout->names.empty() == names.like->names.empty()) return;
  arrays.notes.push_back(readers::taken_in_order({names.x}, *names.like));
}

bool has_header(const FileArrays& arrays) { return arrays.layout && !arrays.layout->names.empty(); }

/// Reads the features if both files are CSV. If the first line of `x` is refused, since it may be a
/// header or a row, the number of rows of `y` decides.
FileArrays read_features_beside_csv(const FileNames& names) {
  try {
    return read_features_of(names, {});
  } catch (const DataError&) {
    if (!is_csv(names.x) || names.header != readers::CsvHeader::detect) throw;
    const FileArrays targets = read_targets_of(names, {});
    FileArrays arrays = read_features_of(names, rows_of(targets.y));
    // If neither first line is sure, both files could have a header, or neither.
    if (!targets.notes.empty() && has_header(arrays) == has_header(targets)) throw;
    return arrays;
  }
}

}  // namespace

FileArrays read_arrays(const FileNames& names) {
  FileArrays targets;
  const bool are_csv_targets = !names.y.empty() && is_csv(names.y);
  if (!names.y.empty() && !are_csv_targets) targets = read_targets_of(names, {});
  FileArrays arrays = are_csv_targets ? read_features_beside_csv(names)
                                      : read_features_of(names, rows_of(targets.y));
  if (!names.y.empty()) {
    if (!targets.y.defined()) targets = read_targets_of(names, rows_of(arrays.x));
    const auto rows = rows_of(targets.y);
    // A row too many in a file that may have a header: it has one, since the targets say so.
    if (!arrays.notes.empty() && rows_of(arrays.x) != rows) arrays = read_features_of(names, rows);
    arrays.y = std::move(targets.y);
    arrays.class_names = std::move(targets.class_names);
    arrays.notes.insert(arrays.notes.end(), targets.notes.begin(), targets.notes.end());
  }
  note_order(names, arrays);
  return arrays;
}

}  // namespace levin
