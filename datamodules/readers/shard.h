#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/csv_header.h>
#include <levin/datamodules/readers/mapped_file.h>
#include <levin/datamodules/readers/target_type.h>

/// Files of rows that are opened, not loaded, so that data sets larger than memory can be made of
/// them (ShardedDataset).
///
///     Shards shards = open_shards(find_files({"train-*.csv"}), {}, {.target_column = "label"});
///
/// Start here: `open_shards` opens files of any kind. `lvb.h` is our own format, `dense_shard.h`
/// reads it and arrays (.npy, IDX), and `text_shard.h` reads CSV and libsvm.
namespace levin::readers {

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float16 || dtype == DType::float32 || dtype == DType::float64;
}

/// One named value of every row: "input" float32 [784], or "target" int64 [].
struct Column {
  std::string name = {};
  DType dtype = DType::float32;
  /// The shape of one row; no sizes stand for a single number.
  std::vector<int64_t> shape = {};

  /// The numbers, and their bytes, in one row.
  size_t values() const;
  size_t bytes() const { return values() * item_size(dtype); }
  bool operator==(const Column& other) const = default;
};

/// Where the rows of a column lie in memory: row i starts at data + i * stride.
struct RowsInMemory {
  const std::byte* data = nullptr;
  size_t stride = 0;
};

/// A file of rows, or a pair of files, one of features and one of targets. Any number of threads
/// may read from it at a time.
class Shard {
 public:
  virtual ~Shard() = default;

  /// What errors call the shard: the path of its file of features.
  const std::string& name() const { return name_; }
  int64_t rows() const { return rows_; }
  /// What each row holds: the features, "input", first, unless a .lvb file says otherwise.
  const std::vector<Column>& columns() const { return columns_; }
  /// The names of the numbers of a row, if its format can have names: CSV, and .lvb made of it.
  virtual std::optional<CsvLayout> layout() const { return {}; }
  /// The bytes of all its files.
  virtual uint64_t file_bytes() const = 0;
  /// The bytes that a row takes in a buffer that it is loaded into.
  virtual size_t row_bytes() const = 0;

  /// Reads the rows first to first + count - 1, which must exist, into `buffer`, and writes to
  /// `views`, one for each column, where they lie. Views are valid until the buffer is used again
  /// or the shard is destroyed. `direct` means the same as in MappedFile::read. Throws DataError if
  /// the rows can't be read, or if a text isn't a row.
  virtual void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
                    std::span<RowsInMemory> views) const = 0;
  /// Copies one row, `columns()[i].bytes()` to each `out[i]`, which needn't be aligned. This is the
  /// slow path, for rows here and there.
  virtual void read_row(int64_t row, std::span<std::byte* const> out) const = 0;
  /// All its files: that of features, and that of targets if they have one of their own.
  virtual std::vector<std::filesystem::path> files() const { return {name_}; }

 protected:
  std::string name_ = {};
  int64_t rows_ = 0;
  std::vector<Column> columns_ = {};
};

using Shards = std::vector<std::shared_ptr<const Shard>>;

/// How files are opened. The defaults open every kind of file by its name.
struct ShardOptions {
  /// "lvb", "npy", "idx", "csv" or "libsvm"; "auto" takes what each file's name says.
  std::string format = "auto";
  /// The target column of a CSV file, and of a .npy file that has no file of targets: its name (CSV
  /// only), its number from 0, or from -1 for the last column backwards, or "none". In a .npy file
  /// it must be the first or the last one.
  std::string target_column = "-1";
  /// What the targets are. It settles the type of the column "target" of text; other files keep the
  /// type that they have.
  TargetType target_type = TargetType::automatic;
  /// Whether the first line of a CSV file names the columns.
  CsvHeader header = CsvHeader::detect;
  /// The first file of the run whose format can have names, if it isn't among the files to be
  /// opened. The columns of CSV files that have names are taken in the order of the first one.
  std::optional<CsvLayout> like{};
  /// Leaves out columns of CSV files that aren't in the first one, instead of refusing them.
  bool ignore_extra_columns = false;
  /// Whether CSV files with names may lack the target column of the first one.
  bool target_optional = false;
  /// Leaves out the target column of CSV files, whose cells may then hold anything.
  bool skip_target = false;
  /// Whether a .npy file without a file of targets holds features alone, instead of a target
  /// column.
  bool separate_targets = false;
  /// The number of features of a libsvm row; 0 takes the highest index in the files opened
  /// together.
  int64_t num_features = 0;
  /// Whether libsvm files number features from 0 instead of from 1.
  bool zero_based = false;
  /// Whether targets of -1 in libsvm files stay -1. Else they stand for class 0 if no target is 0.
  bool keep_signs = false;
  /// Called about every 32 KiB while text is read to find its lines. What it throws ends the
  /// opening.
  std::function<void()> while_reading{};
  /// Called with sentences for the user about what was decided in case of doubt.
  std::function<void(const std::string&)> note{};
};

/// Throws ConfigError for an unknown format, and if `num_features` isn't in [0, kMostFeatures].
void check_options(const ShardOptions& options);

/// Opens files, which may be of different kinds if their rows are alike. `targets` is empty or has
/// one file of targets for each file, which only .npy and IDX files may have. Everything is checked
/// that can be without reading whole files; text is read once, to find its lines. The columns of
/// CSV files that have a header are matched with those of the first file by name; those of .lvb
/// files, if their names are known, must be in the same order. Throws DataError, which names the
/// file, for one that is missing, truncated, empty, of no known kind, or whose columns aren't those
/// of the first, and if there are no files; ConfigError for invalid options.
Shards open_shards(const std::vector<std::filesystem::path>& files,
                   const std::vector<std::filesystem::path>& targets, const ShardOptions& options);

/// Returns the options to open other files of the same run with, after `shards` were opened with
/// `options`. What was found there (whether targets are classes, the names of columns, the number
/// of features, the meaning of -1) holds for the other files too.
ShardOptions settled(ShardOptions options, const Shards& shards);

/// Returns the files that `names`, an option called `option`, stand for, in their order. A name is
/// a file, a folder, for all files in it but those in its subfolders, or a pattern such as
/// "train-*.csv"; files of a folder or a pattern are ordered by their names. Names that begin with
/// '.' or '_', such as the _SUCCESS of Spark, are left out, unless that part of the pattern starts
/// with the same character. Throws DataError for a folder without files and for a pattern that
/// matches none; whether a file exists is left to open_shards.
std::vector<std::filesystem::path> find_files(const std::vector<std::string>& names,
                                              std::string_view option = "files");

/// Writes type and shape of a column as messages show them: "float32 [784]".
std::string column_text(const Column& column);
/// What a message about two columns that should be alike says in addition if rows differ only in
/// their number of features, as those of libsvm files do that were read or converted apart; else
/// empty.
std::string width_hint(const Column& one, const Column& other);

}  // namespace levin::readers
