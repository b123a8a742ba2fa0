#include <levin/datamodules/convert.h>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <levin/datamodules/convert_sparse.h>
#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/sharded_dataset.h>
#include <levin/datamodules/stream.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kShardBytes = int64_t{1} << 30;
constexpr int64_t kBatchBytes = int64_t{1} << 20;

/// Notes which folders on a path don't exist yet; at its end it removes those of them that are
/// empty, so that a conversion that failed leaves none behind.
class NewFolders {
 public:
  explicit NewFolders(fs::path path) {
    std::error_code ignored;
    for (; !path.empty() && !fs::exists(path, ignored); path = path.parent_path()) {
      made_.push_back(path);
    }
  }
  ~NewFolders() {
    std::error_code ignored;
    for (const auto& path : made_) fs::remove(path, ignored);
  }
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

 private:
  std::vector<fs::path> made_;  // the innermost first
};

/// A folder under a temporary name, which is removed unless it was moved to where it belongs.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const fs::path& target)
      : target_(target), parents_(target.parent_path()) {
    std::error_code ignored;
    for (int64_t k = 0; path_.empty() || fs::exists(path_, ignored); ++k) {
      path_ = target_;
      path_ += fmt::format(".tmp-{}-{}", ::getpid(), k);
    }
    files::create_folder(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }
  void move_into_place() {
    files::move_into_place(path_, target_);
    path_.clear();
  }

 private:
  fs::path target_;
  NewFolders parents_;
  fs::path path_;
};

/// Whether another folder can be renamed over this empty one: it must be neither a link nor a mount
/// point nor the working directory.
bool can_be_replaced(const fs::path& folder) {
  struct stat itself = {};
  struct stat around = {};
  struct stat here = {};
  if (::lstat(folder.c_str(), &itself) != 0 || !S_ISDIR(itself.st_mode)) return false;
  if (::stat((folder / "..").c_str(), &around) != 0 || ::stat(".", &here) != 0) return false;
  const bool is_here = itself.st_ino == here.st_ino && itself.st_dev == here.st_dev;
  return itself.st_dev == around.st_dev && itself.st_ino != around.st_ino && !is_here;
}

fs::path checked_output(const ConvertOptions& options) {
  if (options.inputs.empty()) {
    throw ConfigError::conflict("no input is named", "name at least one file to convert");
  }
  if (options.output.empty()) {
    throw ConfigError::conflict("no output is named", "name the folder to write the shards into");
  }
  if (options.rows_per_shard < 0) {
    throw ConfigError::invalid_value("rows_per_shard", std::to_string(options.rows_per_shard),
                                     "must be at least 0");
  }
  fs::path output = fs::path(expand_home(options.output, "output")).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  std::error_code ignored;
  const auto type = fs::symlink_status(output, ignored).type();
  if (type == fs::file_type::not_found || type == fs::file_type::none) return output;
  if (!fs::is_directory(output, ignored) || !fs::is_empty(output, ignored)) {
    throw ConfigError::invalid_value(
        "output", options.output, "it exists and isn't an empty folder; name a new or empty one");
  }
  if (!can_be_replaced(output)) {
    throw ConfigError::invalid_value("output", options.output,
                                     "it is a link, a mount point or the working directory, which "
                                     "can't be replaced; name a new folder");
  }
  return output;
}

/// Settles what `options` leave open by the rows of other files: the order of columns, the number
/// of features, and what targets are.
readers::ShardOptions settled_like(const std::string& files, const readers::ShardOptions& options) {
  const auto shards = readers::open_shards(readers::find_files({files}, "like"), {}, options);
  const auto layout = shards.front()->layout();
  if (layout && layout->names.empty()) {
    throw DataError(fmt::format(
        "like = {}: the columns of that file have no names to be matched; name a CSV file with a "
        "header, or a .lvb file made of one",
        files));
  }
  return readers::settled(options, shards);
}

/// The names of a data set's features and target, for the header of its shards.
readers::LvbNames names_of(const ShardedDataset& dataset, const readers::ShardOptions& options) {
  readers::LvbNames names;
  const auto own = dataset.shards().front()->layout();
  const auto layout = options.like ? options.like : own;
  if (!layout || layout->names.empty()) return names;
  names.features = readers::places_in_order(layout->names, layout->target).features;
  const bool has_target = dataset.columns().back().name == "target";
  if (has_target && layout->target) names.target = layout->names[*layout->target];
  if (names.features.size() != dataset.columns().front().values()) return {};
  return names;
}

/// Goes over a data set in order and writes its rows as records.
class Writer {
 public:
  Writer(const ShardedDataset& dataset, const ConvertOptions& options, readers::LvbNames names,
         fs::path folder)
      : dataset_(dataset),
        names_(std::move(names)),
        folder_(std::move(folder)),
        columns_(dataset.columns()) {
    sampler_ = dataset.sampler({.shuffle = false})->clone();
    sampler_->set_epoch(0);
    stride_ = readers::lvb_layout(columns_, 0).stride;
    rows_per_shard_ = options.rows_per_shard > 0
                          ? options.rows_per_shard
                          : std::max<int64_t>(1, kShardBytes / static_cast<int64_t>(stride_));
  }

  Converted write(const std::function<void(int64_t, int64_t)>& progress) {
    Converted written;
    const int64_t total = *dataset_.size();
    while (written.rows < total) {
      const int64_t rows = std::min(rows_per_shard_, total - written.rows);
      const auto header = readers::lvb_layout(columns_, rows, names_);
      const fs::path part = folder_ / "part";
      files::AppendFile file(part, 0);
      file.append(readers::lvb_header(header));
      for (int64_t done = 0; done < rows;) {
        if (progress) progress(written.rows + done, total);
        done += append(header, written.rows + done, rows - done, file);
      }
      file.close();
      files::move_into_place(part, folder_ / fmt::format("shard-{:05}.lvb", written.shards));
      written.rows += rows;
      written.shards += 1;
      written.bytes += header.file_bytes();
    }
    if (progress) progress(written.rows, total);
    return written;
  }

 private:
  /// Appends at most `most` rows from row `first` on, and returns how many.
  int64_t append(const readers::LvbHeader& header, int64_t first, int64_t most,
                 files::AppendFile& file) {
    const int64_t count =
        std::min(most, std::max<int64_t>(1, kBatchBytes / static_cast<int64_t>(stride_)));
    rows_.resize(static_cast<size_t>(count));
    sampler_->rows(first, rows_);
    dataset_.get_batch(rows_, batch_);
    records_.assign(static_cast<size_t>(count) * stride_, '\0');
    for (size_t i = 0; i < columns_.size(); ++i) {
      const auto tensor = batch_.entries()[i].second.tensor();
      const size_t bytes = columns_[i].bytes();
      const auto* from = static_cast<const char*>(tensor.const_data_ptr());
      char* to = records_.data() + header.offsets[i];
      for (int64_t row = 0; row < count; ++row, from += bytes, to += stride_) {
        std::memcpy(to, from, bytes);
      }
    }
    file.append(records_);
    return count;
  }

  const ShardedDataset& dataset_;
  readers::LvbNames names_;
  fs::path folder_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<readers::Column> columns_;
  size_t stride_ = 0;
  int64_t rows_per_shard_ = 0;
  std::vector<int64_t> rows_;
  Batch batch_;
  std::string records_;
};

}  // namespace

Fields describe(ConvertOptions& o) {
  Fields fields = fields_of<ConvertOptions>({
      {"inputs", &o.inputs, ""},
      {"output", &o.output, ""},
      {"targets", &o.targets, "files of targets, one for each .npy or IDX file of rows"},
      {"rows_per_shard", &o.rows_per_shard, "rows of a shard; 0: as many as fit in 1 GiB"},
      {"format", &o.format, "lvb, npy, idx, csv, libsvm, or auto (by the files' names)"},
      {"target_column", &o.target_column,
       "target column of a CSV file or an array: name, number or none"},
      {"header", &o.header, "first lines of CSV files name the columns: true, false or auto"},
      {"ignore_extra_columns", &o.ignore_extra_columns,
       "true: leave out columns of CSV files that aren't in the first file"},
      {"like", &o.like, "file of training data, whose columns and number of features the rows get"},
      {"target_type", &o.target_type, "class, value, or auto (integers are classes)"},
      {"num_features", &o.num_features,
       "features of a libsvm row; 0: the highest feature number found"},
      {"zero_based", &o.zero_based, "libsvm files number features from 0, not from 1"},
      {"sparse", &o.sparse, "true: write sparse rows, of libsvm, scipy's .npz, vw or criteo files"},
      {"hash_bits", &o.hash_bits, "rows of vw and criteo have 2^hash_bits columns; 0: 18 and 20"},
  });
  fields.erase(fields.begin(), fields.begin() + 2);
  return fields;
}

Converted convert(const ConvertOptions& options,
                  const std::function<void(int64_t done, int64_t total)>& progress) {
  const fs::path output = checked_output(options);
  if (options.sparse) {
    check_sparse_conversion(options);
    TemporaryFolder folder(output);
    const Converted written = write_sparse_shards(options, folder.path(), progress);
    folder.move_into_place();
    return written;
  }
  readers::ShardOptions shard_options = {
      .format = options.format,
      .target_column = options.target_column,
      .target_type = readers::parse_target_type(options.target_type),
      .header = readers::parse_csv_header(options.header),
      .ignore_extra_columns = options.ignore_extra_columns,
      .target_optional = options.target_column == "none",
      .num_features = options.num_features,
      .zero_based = options.zero_based};
  std::vector<std::string> notes;
  shard_options.note = [&notes](const std::string& text) { notes.push_back(text); };
  if (progress) shard_options.while_reading = [&progress] { progress(0, 0); };
  if (!options.like.empty()) shard_options = settled_like(options.like, shard_options);
  const ShardedDataset dataset(
      readers::open_shards(readers::find_files(options.inputs, "inputs"),
                           readers::find_files(options.targets, "targets"), shard_options),
      {.target_type = shard_options.target_type});
  TemporaryFolder folder(output);
  Converted written =
      Writer(dataset, options, names_of(dataset, shard_options), folder.path()).write(progress);
  written.notes = std::move(notes);
  folder.move_into_place();
  return written;
}

}  // namespace levin
