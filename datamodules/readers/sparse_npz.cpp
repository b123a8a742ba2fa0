#include <levin/datamodules/readers/sparse_npz.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/datamodules/readers/zip.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// Calls `action` with a null pointer to the C++ type of `dtype`; returns false for float16.
template <class Action>
bool with_type(DType dtype, const Action& action) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
      action(static_cast<const uint8_t*>(nullptr));
      return true;
    case DType::uint16:
      action(static_cast<const uint16_t*>(nullptr));
      return true;
    case DType::uint32:
      action(static_cast<const uint32_t*>(nullptr));
      return true;
    case DType::uint64:
      action(static_cast<const uint64_t*>(nullptr));
      return true;
    case DType::int8:
      action(static_cast<const int8_t*>(nullptr));
      return true;
    case DType::int16:
      action(static_cast<const int16_t*>(nullptr));
      return true;
    case DType::int32:
      action(static_cast<const int32_t*>(nullptr));
      return true;
    case DType::int64:
      action(static_cast<const int64_t*>(nullptr));
      return true;
    case DType::float32:
      action(static_cast<const float*>(nullptr));
      return true;
    case DType::float64:
      action(static_cast<const double*>(nullptr));
      return true;
    case DType::float16:
      break;
  }
  return false;
}

/// The word in the array "format", a text of bytes or of 4-byte characters that read_npz doesn't
/// read.
std::string npz_format(const std::filesystem::path& path) {
  const ZipArchive archive(path);
  std::string format;
  for (const ZipEntry& entry : archive.entries()) {
    if (entry.name != "format.npy") continue;
    for (const std::byte byte : archive.read(entry)) {
      const char c = static_cast<char>(byte);
      if (c == '\n') format.clear();  // the header ends
      if (c != '\n' && c != '\0') format += c;
    }
  }
  return format;
}

/// A file whose arrays are read one after another, so that two of them are never in memory
/// together with what is made of them.
class SparseNpzFile {
 public:
  explicit SparseNpzFile(const std::filesystem::path& path)
      : path_(path), names_(npz_names(path)) {}

  bool has(std::string_view name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }
  /// Reads an array of one dimension.
  Array list(std::string_view name) const {
    Array array = read_npz(path_, name);
    if (array.shape.size() == 1) return array;
    fail(name, "its shape is " + shape_text(array.shape) +
                   ", but it must have one dimension. Write the file with "
                   "scipy.sparse.save_npz.");
  }
  /// Checks that the matrix is of the format "csr", if the file says a format, and that its arrays
  /// are there.
  void check_format() const;
  /// Reads the numbers of the array "shape"; nothing if the file doesn't have it.
  std::vector<int64_t> shape() const;
  std::string where(std::string_view array) const {
    return path_.string() + ", array " + in_quotes(array);
  }
  [[noreturn]] void fail(std::string_view array, const std::string& reason) const {
    throw DataError(where(array) + ": " + reason);
  }

 private:
  void check_arrays() const;

  std::filesystem::path path_;
  std::vector<std::string> names_;
};

void SparseNpzFile::check_format() const {
  if (has("format")) {
    const std::string format = npz_format(path_);
    if (format == "csr") return check_arrays();
    throw DataError::bad_value("the format of the matrix", in_quotes(format), path_.string(),
                               "only 'csr' is read. Save matrix.tocsr() instead.");
  }
  check_arrays();
}

void SparseNpzFile::check_arrays() const {
  if (!has("indices") || !has("indptr")) {
    std::string known;
    for (const auto& name : names_) known += (known.empty() ? "" : ", ") + in_quotes(name);
    throw DataError(path_.string() +
                    ": sparse rows are the arrays 'indices' and 'indptr', but the "
                    "file has " +
                    (known.empty() ? "no array" : known) +
                    "; write it with scipy.sparse.save_npz(file, matrix.tocsr())");
  }
}

std::vector<int64_t> SparseNpzFile::shape() const {
  std::vector<int64_t> sizes;
  if (!has("shape")) return sizes;
  const Array array = list("shape");
  with_type(array.dtype, [&](const auto* type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const auto* numbers = reinterpret_cast<const T*>(array.bytes.data());
    for (int64_t i = 0; i < array.size(); ++i) sizes.push_back(static_cast<int64_t>(numbers[i]));
  });
  if (sizes.size() == 2 && sizes[0] >= 0 && sizes[1] >= 0) return sizes;
  fail("shape", "it is " + shape_text(sizes) +
                    ", but must be [rows, columns]. Write the file with "
                    "scipy.sparse.save_npz.");
}

/// Whole numbers of an array, each checked to be in [0, most], as `Number`s at the end of `to`.
template <class Number>
void append_whole(const SparseNpzFile& file, std::string_view name, int64_t most,
                  NumberList<Number>& to) {
  const Array array = file.list(name);
  if (array.dtype == DType::bool_ || array.dtype >= DType::float16) {
    file.fail(name, "its elements are " + std::string(dtype_name(array.dtype)) +
                        ", but must be integers. Write the file with scipy.sparse.save_npz.");
  }
  with_type(array.dtype, [&](const auto* type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const auto* numbers = reinterpret_cast<const T*>(array.bytes.data());
    const auto count = static_cast<size_t>(array.size());
    Number* const out = to.grow_by(count);
    for (size_t i = 0; i < count; ++i) {
      const bool is_negative = numbers[i] < T{0};
      if (is_negative || static_cast<uint64_t>(numbers[i]) > static_cast<uint64_t>(most)) {
        file.fail(name, "element " + std::to_string(i) + " is " + std::to_string(numbers[i]) +
                            ", but must be from 0 to " + std::to_string(most) +
                            ". Correct the matrix and save it again.");
      }
      out[i] = static_cast<Number>(numbers[i]);
    }
  });
}

/// The numbers of an array, each of which must be finite as a float32.
void append_finite(const SparseNpzFile& file, std::string_view name, NumberList<float>& to) {
  const Array array = file.list(name);
  const bool is_read = with_type(array.dtype, [&](const auto* type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const auto* numbers = reinterpret_cast<const T*>(array.bytes.data());
    const auto count = static_cast<size_t>(array.size());
    float* const out = to.grow_by(count);
    for (size_t i = 0; i < count; ++i) {
      if (std::abs(static_cast<double>(numbers[i])) <= std::numeric_limits<float>::max()) {
        out[i] = static_cast<float>(numbers[i]);
        continue;
      }
      file.fail(name, "element " + std::to_string(i) + " is " + std::to_string(numbers[i]) +
                          ", but must be a finite number that a float32 can hold. Remove or "
                          "replace it.");
    }
  });
  if (is_read) return;
  file.fail(name, "its elements are float16, which aren't read. Save it as float32.");
}

/// Sorts the entries of each row by their columns and adds those that share one.
void sort_rows(const SparseNpzFile& file, SparseRows& rows) {
  SparseRows sorted;
  for (size_t row = 0; row + 1 < rows.offsets.size(); ++row) {
    const size_t first = sorted.indices.size();
    for (auto i = static_cast<size_t>(rows.offsets[row]);
         i < static_cast<size_t>(rows.offsets[row + 1]); ++i) {
      sorted.add(rows.indices[i], rows.values.empty() ? 1.0F : rows.values[i]);
    }
    if (!sorted.sort_from(first)) {
      file.fail("data", "values of row " + std::to_string(row) +
                            " that share an index have a sum that a float32 can't hold. Correct "
                            "the matrix and save it again.");
    }
    sorted.end_row();
  }
  rows.offsets = std::move(sorted.offsets);
  rows.indices = std::move(sorted.indices);
  rows.values = std::move(sorted.values);
}

/// Throws DataError unless the offsets rise from 0 to the number of entries.
void check_offsets(const SparseNpzFile& file, const SparseRows& rows) {
  const auto offsets = rows.offsets.span();
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != rows.entries()) {
    file.fail("indptr", "it goes from " +
                            (offsets.empty() ? std::string("nothing")
                                             : std::to_string(offsets.front()) + " to " +
                                                   std::to_string(offsets.back())) +
                            ", but must go from 0 to the number of indices, " +
                            std::to_string(rows.entries()) +
                            ". Write the file with scipy.sparse.save_npz.");
  }
  const auto falls = std::adjacent_find(offsets.begin(), offsets.end(), std::greater<>());
  if (falls == offsets.end()) return;
  file.fail("indptr", "element " + std::to_string(falls - offsets.begin() + 1) +
                          " is below the one before it, but offsets must not fall. Write the file "
                          "with scipy.sparse.save_npz.");
}

/// Returns the first row whose indices don't rise strictly; -1 if there is none.
int64_t first_unsorted_row(const SparseRows& rows) {
  for (size_t row = 0; row + 1 < rows.offsets.size(); ++row) {
    const auto indices =
        rows.indices.span().subspan(static_cast<size_t>(rows.offsets[row]),
                                    static_cast<size_t>(rows.offsets[row + 1] - rows.offsets[row]));
    const auto pair = std::adjacent_find(indices.begin(), indices.end(), std::greater_equal<>());
    if (pair != indices.end()) return static_cast<int64_t>(row);
  }
  return -1;
}

void read_values(const SparseNpzFile& file, SparseRows& rows) {
  if (!file.has("data")) return;
  append_finite(file, "data", rows.values);
  if (rows.values.size() != rows.indices.size()) {
    throw DataError::rows_differ(file.where("indices"), rows.entries(), file.where("data"),
                                 static_cast<int64_t>(rows.values.size()));
  }
  const auto values = rows.values.span();
  if (std::all_of(values.begin(), values.end(), [](float x) { return x == 1.0F; })) {
    rows.values = {};
  }
}

void read_npz_targets(const SparseNpzFile& file, const std::string& wanted, SparseRows& rows) {
  const std::string name = wanted.empty() ? "y" : wanted;
  if (wanted.empty() && !file.has(name)) return;
  append_finite(file, name, rows.targets);
  if (static_cast<int64_t>(rows.targets.size()) == rows.rows()) return;
  throw DataError::rows_differ(file.where("indptr"), rows.rows(), file.where(name),
                               static_cast<int64_t>(rows.targets.size()));
}

/// The number of columns, by the options, the file's shape or the highest index.
int64_t column_count(const SparseNpzFile& file, int64_t rows, int64_t declared) {
  const auto shape = file.shape();
  if (shape.empty()) return declared;
  if (shape[0] != rows) {
    throw DataError::rows_differ(file.where("shape"), shape[0], file.where("indptr"), rows);
  }
  if (declared > 0 && shape[1] > declared) {
    file.fail("shape", "the matrix has " + std::to_string(shape[1]) +
                           " columns, but num_features is " + std::to_string(declared) +
                           "; set num_features to the number of columns of all files");
  }
  if (declared == 0 && shape[1] > SparseRows::kMostColumns) {
    file.fail("shape", "the matrix has " + std::to_string(shape[1]) +
                           " columns, but there may be at most 2^31 - 1. Hash the columns to fewer "
                           "ones.");
  }
  return declared > 0 ? declared : shape[1];
}

}  // namespace

SparseRows read_sparse_npz(const std::filesystem::path& path, const SparseNpzOptions& options) {
  if (options.num_features < 0 || options.num_features > SparseRows::kMostColumns) {
    throw ConfigError::invalid_value(
        "num_features", std::to_string(options.num_features),
        "must be from 0 to " + std::to_string(SparseRows::kMostColumns));
  }
  const SparseNpzFile file(path);
  file.check_format();
  SparseRows rows;
  rows.offsets.clear();
  append_whole(file, "indptr", std::numeric_limits<int64_t>::max(), rows.offsets);
  if (rows.offsets.empty()) check_offsets(file, rows);
  rows.columns = column_count(file, rows.rows(), options.num_features);
  const int64_t most = rows.columns > 0 ? rows.columns - 1 : SparseRows::kMostColumns - 1;
  append_whole(file, "indices", most, rows.indices);
  check_offsets(file, rows);
  if (rows.rows() == 0) throw DataError::empty(path.string(), "save at least one row");
  if (rows.columns == 0) {
    const auto indices = rows.indices.span();
    const auto highest = std::max_element(indices.begin(), indices.end());
    rows.columns = highest == indices.end() ? 0 : int64_t{*highest} + 1;
  }
  read_values(file, rows);
  if (options.sort_indices) {
    sort_rows(file, rows);
  } else if (const int64_t row = first_unsorted_row(rows); row >= 0) {
    file.fail("indices", "those of row " + std::to_string(row) +
                             " don't rise, or one is there twice. Call matrix.sum_duplicates() "
                             "before the matrix is saved, or set sort_indices = true.");
  }
  read_npz_targets(file, options.targets, rows);
  return rows;
}

}  // namespace levin::readers
