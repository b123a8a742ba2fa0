#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/mapped_file.h>
#include <levin/datamodules/readers/target_type.h>

/// Files of rows that are opened, not loaded: data sets larger than memory are made of them.
///
/// Start here: `open_shards` opens files of any kind; `lvb.h` is our own format, `dense_shard.h`
/// reads it and arrays (.npy, IDX), `text_shard.h` CSV and libsvm.
namespace levin::readers {

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float16 || dtype == DType::float32 || dtype == DType::float64;
}

/// One named value of every row: "input" float32 [784], "target" int64 [].
struct Column {
  std::string name = {};
  DType dtype = DType::float32;
  /// Of one row; no sizes means a number.
  std::vector<int64_t> shape = {};

  /// Of one row.
  size_t values() const;
  size_t bytes() const { return values() * item_size(dtype); }
  bool operator==(const Column& other) const = default;
};

/// Where a column's rows lie in memory: row i at data + i * stride.
struct RowsInMemory {
  const std::byte* data = nullptr;
  size_t stride = 0;
};

/// A file (or a pair of them) with a known number of rows, read by any number of threads.
class Shard {
 public:
  virtual ~Shard() = default;

  /// What errors call it: the path.
  const std::string& name() const { return name_; }
  int64_t rows() const { return rows_; }
  const std::vector<Column>& columns() const { return columns_; }
  /// Bytes of its files.
  virtual uint64_t file_bytes() const = 0;
  /// What a row takes in a buffer that it is loaded into.
  virtual size_t row_bytes() const = 0;

  /// Reads the rows first to first + count - 1 into `buffer` and says in `views` where each column
  /// of them lies; `direct` as in MappedFile. Throws DataError for what can't be read, or is none.
  virtual void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
                    std::span<RowsInMemory> views) const = 0;
  /// Writes one row, `columns()[i].bytes()` each: the slow path, for rows here and there.
  virtual void read_row(int64_t row, std::span<std::byte* const> out) const = 0;

 protected:
  std::string name_ = {};
  int64_t rows_ = 0;
  std::vector<Column> columns_ = {};
};

using Shards = std::vector<std::shared_ptr<const Shard>>;

struct ShardOptions {
  /// "lvb", "npy", "idx", "csv" or "libsvm"; "auto": as each file's name says.
  std::string format = "auto";
  /// Of CSV, and of a .npy file without another one for targets: a name, a number from 0, from -1
  /// for the last backwards, or "none".
  std::string target_column = "-1";
  TargetType target_type = TargetType::automatic;
  /// A .npy file without one for targets has none at all: those opened before have theirs apart.
  bool separate_targets = false;
  /// Features a row of libsvm; 0: the highest index there is in the files opened together.
  int64_t num_features = 0;
  /// Features of libsvm are numbered from 0 instead of from 1.
  bool zero_based = false;
  /// Targets of -1 in libsvm stay -1; else they stand for class 0 where no target is 0.
  bool keep_signs = false;
  /// Called every 32 KiB while text is read to find its lines; what it throws comes through.
  std::function<void()> while_reading{};
};

/// Throws ConfigError for options that can't be, whatever the files are.
void check_options(const ShardOptions& options);

/// Opens files, each with the file of its targets where `targets` isn't empty (one a file then),
/// and checks all there is to check without reading all of it; text is read once, to find its
/// lines. Throws DataError naming the file for one that is missing, truncated, empty, of no known
/// kind, or whose columns aren't those of the first; ConfigError for options that can't be.
Shards open_shards(const std::vector<std::filesystem::path>& files,
                   const std::vector<std::filesystem::path>& targets, const ShardOptions& options);

/// The options for other files of the same run as `shards`, which were opened by `options`: what
/// was found there (the kind of targets, libsvm's features and signs) holds for all of them.
ShardOptions settled(ShardOptions options, const Shards& shards);

/// The files that `names` stand for, in order: a file, the files of a folder by name (hidden ones
/// and folders left out), or a pattern such as "train-*.csv". Throws DataError where there is none.
std::vector<std::filesystem::path> find_files(const std::vector<std::string>& names);

/// "float32 [784]", for errors.
std::string column_text(const Column& column);

}  // namespace levin::readers
