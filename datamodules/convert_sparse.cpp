#include <levin/datamodules/convert_sparse.h>

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/libsvm_words.h>
#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/sparse_ahead.h>
#include <levin/datamodules/readers/sparse_lvb_writer.h>
#include <levin/datamodules/readers/sparse_npz.h>
#include <levin/datamodules/sparse_files.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

namespace fs = std::filesystem;
using ConvertProgress = std::function<void(int64_t, int64_t)>;

constexpr uint64_t kSparseShardBytes = uint64_t{1} << 30;

/// What all shards have in common, which may be known only when all rows were read.
struct SparseFindings {
  /// The number of columns; 0: not known yet.
  int64_t columns = 0;
  /// Whether targets can be -1 and 1 instead of 0 and 1.
  bool may_have_signs = false;
  bool has_minus_one = false;
  bool has_zero = false;
  bool has_fraction = false;

  void add(const readers::LineFormat::Summary& summary) {
    has_minus_one = has_minus_one || summary.has_minus_one;
    has_zero = has_zero || summary.has_zero;
    has_fraction = has_fraction || summary.fraction_line > 0;
  }
  bool are_final() const { return columns > 0 && (!may_have_signs || has_zero || has_fraction); }
  bool has_signs() const { return may_have_signs && has_minus_one && !has_zero && !has_fraction; }
};

/// Divides rows into shards.
class SparseShardWriter {
 public:
  SparseShardWriter(fs::path folder, int64_t rows_per_shard, const ConvertProgress& progress)
      : folder_(std::move(folder)), rows_per_shard_(rows_per_shard), progress_(progress) {}

  void add(const readers::SparseRows& rows, const SparseFindings& found) {
    for (int64_t first = 0; first < rows.rows();) {
      if (!is_open_) open();
      auto& shard = shards_.back();
      const int64_t left = rows.rows() - first;
      const int64_t count = rows_per_shard_ > 0 ? std::min(left, rows_per_shard_ - shard.rows())
                                                : shard.rows_within(kSparseShardBytes, rows, first);
      shard.append(rows, first, count);
      first += count;
      const bool is_full = rows_per_shard_ > 0 ? shard.rows() == rows_per_shard_ : count < left;
      if (!is_full) continue;
      shard.close();
      is_open_ = false;
      if (found.are_final()) finish_all(found, 0);
    }
    total_ += rows.rows();
  }
  Converted finish(const SparseFindings& found) {
    finish_all(found, total_);
    if (progress_) progress_(written_.rows, total_);
    return std::move(written_);
  }

 private:
  void open() {
    shards_.emplace_back(folder_ / fmt::format("shard-{:05}.lvb", made_++));
    is_open_ = true;
  }
  /// `total` is what is told about the rows that there are.
  void finish_all(const SparseFindings& found, int64_t total) {
    for (; !shards_.empty(); shards_.pop_front()) {
      auto& shard = shards_.front();
      const auto tell = [&] {
        if (progress_) progress_(total == 0 ? 0 : written_.rows, total);
      };
      written_.bytes += shard.finish(
          {.columns = found.columns, .has_signs = found.has_signs(), .while_writing = tell});
      written_.rows += shard.rows();
      written_.shards += 1;
    }
  }

  fs::path folder_;
  int64_t rows_per_shard_;
  const ConvertProgress& progress_;
  std::deque<readers::SparseLvbWriter> shards_;  // that aren't put together yet
  bool is_open_ = false;                         // the last of them takes more rows
  int64_t made_ = 0;
  int64_t total_ = 0;
  Converted written_;
};

/// The text of the inputs: its syntax, and how its columns are numbered.
struct SparseText {
  std::string format;
  readers::SparseLibsvmOptions libsvm = {};
  readers::SparseVwOptions vw = {};
  readers::SparseCriteoOptions criteo = {};

  SparseText(const ConvertOptions& options, const fs::path& first_file) : format(options.format) {
    const auto ending = readers::without_gz(first_file).extension();
    if (format == "auto") format = ending == ".vw" ? "vw" : "libsvm";
    const SparseFileOptions hashes{.hash_bits = options.hash_bits};
    vw.bits = hash_bits_of(hashes, "vw");
    criteo.bits = hash_bits_of(hashes, "criteo");
    libsvm.num_features = options.num_features;
    libsvm.zero_based = options.zero_based;
  }
  readers::MakeFormat maker() const {
    return [this](const std::string& name) {
      if (format == "vw") return readers::sparse_vw_format(name, vw);
      if (format == "criteo") return readers::sparse_criteo_format(name, criteo);
      return readers::sparse_libsvm_format(name, libsvm);
    };
  }
  /// The number of columns if it is known before a line is read, else 0.
  int64_t columns() const {
    if (format == "libsvm") return libsvm.num_features;
    return readers::FeatureHash(format == "vw" ? vw.bits : criteo.bits).columns();
  }
  /// The number of columns of libsvm text whose highest index is `highest`.
  int64_t found_columns(int64_t highest, const std::string& name) const {
    const readers::LibsvmWords words({.name = name,
                                      .most_features = readers::SparseRows::kMostColumns,
                                      .zero_based = libsvm.zero_based});
    return words.width(highest - words.base());
  }
};

Converted convert_npz(const fs::path& file, const ConvertOptions& options,
                      SparseShardWriter& writer) {
  const auto rows = readers::read_sparse_npz(file, {.num_features = options.num_features});
  const SparseFindings found{.columns = rows.columns};
  writer.add(rows, found);
  return writer.finish(found);
}

}  // namespace

void check_sparse_conversion(const ConvertOptions& options) {
  const bool is_hash = options.format == "vw" || options.format == "criteo";
  if (options.format != "auto" && options.format != "libsvm" && !is_hash) {
    throw ConfigError::conflict(
        "sparse = true can't go with format = " + options.format,
        "only libsvm and .npz files hold sparse rows, and those of the formats vw and "
        "criteo; set format = libsvm");
  }
  if (!options.targets.empty() || !options.like.empty()) {
    throw ConfigError::conflict(
        std::string("sparse = true can't go with ") + (options.like.empty() ? "targets" : "like"),
        "leave it out, and set num_features to the number of features of the training data");
  }
}

Converted write_sparse_shards(const ConvertOptions& options, const fs::path& folder,
                              const ConvertProgress& progress) {
  const auto files = readers::find_files(options.inputs, "inputs");
  if (files.empty()) throw DataError::empty("the list of files", "name at least one");
  SparseShardWriter writer(folder, options.rows_per_shard, progress);
  const bool is_npz = files.front().extension() == ".npz";
  if (is_npz && files.size() > 1) {
    throw ConfigError::conflict("several files with a .npz file among them can't be joined",
                                "convert each .npz file on its own, with the same num_features");
  }
  if (is_npz) return convert_npz(files.front(), options, writer);
  if (readers::without_gz(files.front()).extension() == ".npz") {
    throw DataError::unreadable(files.front().string(),
                                "only text may be gzipped, but not .npz files, which are "
                                "compressed by themselves; unpack it with gunzip first");
  }
  const SparseText syntax(options, files.front());
  SparseFindings found{.columns = syntax.columns(), .may_have_signs = syntax.format != "criteo"};
  readers::SparseAhead text(files, syntax.maker(), /*threads=*/1);
  int64_t highest = -1;
  for (readers::ParsedRows parsed; text.next(parsed);) {
    if (progress) progress(0, 0);
    found.add(parsed.summary);
    highest = std::max(highest, parsed.highest);
    writer.add(parsed.rows, found);
  }
  if (found.columns == 0) found.columns = syntax.found_columns(highest, files.front().string());
  return writer.finish(found);
}

}  // namespace levin
