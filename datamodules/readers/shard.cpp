#include <levin/datamodules/readers/shard.h>

#include <glob.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/dense_shard.h>
#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/readers/text_shard.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/core/small_letters.h>

namespace levin::readers {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kFormats = {"lvb", "npy", "idx", "csv", "libsvm"};

struct Suffix {
  std::string_view suffix;
  std::string_view format;
};
constexpr Suffix kSuffixes[] = {{".lvb", "lvb"},         {".npy", "npy"},       {".csv", "csv"},
                                {".tsv", "csv"},         {".libsvm", "libsvm"}, {".svm", "libsvm"},
                                {".svmlight", "libsvm"}, {".idx", "idx"}};

[[noreturn]] void fail_format(const fs::path& file) {
  std::string suffixes;
  std::vector<std::string> endings;
  for (const auto& known : kSuffixes) {
    suffixes += (suffixes.empty() ? "" : ", ") + std::string(known.suffix);
    endings.emplace_back(known.suffix);
  }
  std::string formats;
  for (const auto& known : kFormats) formats += (formats.empty() ? "" : ", ") + known;
  if (file.extension() == ".gz") {
    throw DataError::unreadable(
        file.string(),
        "only IDX files may be gzipped, and text that SparseDataModule reads; "
        "unpack it with gunzip first");
  }
  if (file.extension() == ".npz") {
    throw DataError::unreadable(file.string(),
                                "a .npz file isn't read row by row; ArrayDataModule reads it, or "
                                "save its arrays as .npy files");
  }
  std::string hint = missing_file_of_other_ending(file.string(), endings);
  if (hint.empty()) hint = "; rename it, or set format to one of " + formats;
  throw DataError::unreadable(file.string(), "its name ends in none of " + suffixes + hint);
}

std::string format_of(const fs::path& file, const std::string& wanted) {
  if (wanted != "auto") return wanted;
  const auto suffix = to_small_letters(file.extension().string());
  for (const auto& known : kSuffixes) {
    if (known.suffix == suffix) return std::string(known.format);
  }
  // MNIST's files have no suffix of their own: "train-images-idx3-ubyte.gz".
  const std::string name = file.filename().string();
  if (name.find("-idx") != name.npos || name.find(".idx") != name.npos) return "idx";
  fail_format(file);
}

std::shared_ptr<const Shard> open_dense(const std::string& format, const fs::path& file,
                                        const fs::path* targets, const ShardOptions& options) {
  if (format == "npy") {
    if (targets != nullptr) return open_npy(MappedFile(file), MappedFile(*targets));
    return open_npy(MappedFile(file), options.separate_targets ? "none" : options.target_column);
  }
  std::optional<MappedFile> labels;
  if (targets != nullptr) labels.emplace(*targets);
  return open_idx(MappedFile(file), labels ? &*labels : nullptr);
}

/// Gives all text files the same type of targets and number of features, now that all are known.
void make_alike(const std::vector<std::shared_ptr<TextShard>>& texts, const ShardOptions& options) {
  bool has_fractions = false;
  bool has_zeros = false;
  int64_t widest = 0;
  for (const auto& text : texts) {
    has_fractions = has_fractions || text->summary().fraction_line > 0;
    has_zeros = has_zeros || text->summary().has_zero;
    widest = std::max(widest, text->width());
  }
  for (const auto& text : texts) {
    if (has_fractions && options.target_type == TargetType::automatic) text->use_values();
    if (has_zeros || options.keep_signs) text->keep_signs();
    if (text->is_sparse()) text->widen(widest);
  }
}

void check_alike(const Shards& shards) {
  const auto& first = *shards.front();
  for (const auto& shard : shards) {
    if (shard->rows() == 0) {
      throw DataError(shard->name() + " has no rows; add at least one, or leave the file out");
    }
    if (shard->columns() == first.columns()) continue;
    const auto list = [](const Shard& of) {
      std::string text;
      for (const auto& column : of.columns()) {
        text += (text.empty() ? "" : ", ") + column.name + " " + column_text(column);
      }
      return text;
    };
    throw DataError("the rows of " + shard->name() + " hold " + list(*shard) + ", but those of " +
                    first.name() + " hold " + list(first) +
                    "; name files whose rows are of one kind." +
                    width_hint(shard->columns().front(), first.columns().front()));
  }
}

/// Says what was decided about text files in case of doubt.
void tell_notes(const std::vector<std::shared_ptr<TextShard>>& texts,
                const std::optional<CsvLayout>& first,
                const std::function<void(const std::string&)>& note) {
  std::vector<std::string> differing;
  for (const auto& text : texts) {
    if (!text->note().empty()) note(text->note());
    const auto layout = text->layout();
    if (layout && first && layout->names.empty() != first->names.empty()) {
      differing.push_back(layout->file);
    }
  }
  if (!differing.empty()) note(taken_in_order(differing, *first));
}

/// Whether a name in a folder is skipped: hidden files, and those that Spark, Hive and Arrow write
/// beside the data or skip themselves.
bool is_skipped(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with('.') || name.starts_with('_');
}

/// Appends the files in a folder, ordered by name.
void append_folder(const std::string& folder, std::vector<fs::path>& files) {
  const size_t before = files.size();
  std::error_code failure;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    if (!is_skipped(entry->path()) && entry->is_regular_file(ignored)) {
      files.push_back(entry->path());
    }
  }
  if (failure) throw DataError::unreadable(folder, failure.message());
  std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
  if (files.size() == before) {
    throw DataError("there is no file in the folder '" + folder +
                    "' (subfolders and names that begin with '.' or '_' don't count); put files in "
                    "it, or name another");
  }
}

/// Whether a part of a path that matches `pattern` is a name that is skipped, though the same part
/// of the pattern doesn't ask for it.
bool matches_skipped(const fs::path& pattern, const fs::path& path) {
  auto asked = pattern.begin();
  for (const auto& part : path) {
    const bool is_asked_for = asked != pattern.end() && is_skipped(*asked);
    if (is_skipped(part) && !is_asked_for) return true;
    if (asked != pattern.end()) ++asked;
  }
  return false;
}

/// Appends what matches a pattern, ordered by name.
void append_matches(const std::string& pattern, std::vector<fs::path>& files) {
  const size_t before = files.size();
  std::string skipped;
  glob_t found = {};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      if (matches_skipped(pattern, found.gl_pathv[i])) {
        skipped = found.gl_pathv[i];
      } else {
        files.emplace_back(found.gl_pathv[i]);
      }
    }
  }
  ::globfree(&found);
  if (files.size() > before) return;
  throw DataError("no file matches the pattern '" + pattern + "'" +
                  (skipped.empty()
                       ? "; check its folder and its spelling"
                       : ", apart from names that begin with '.' or '_' and don't "
                         "count, such as '" +
                             skipped +
                             "'; start that part of the pattern with the same character"));
}

}  // namespace

size_t Column::values() const { return static_cast<size_t>(element_count(shape).value_or(0)); }

std::string column_text(const Column& column) {
  return std::string(dtype_name(column.dtype)) + " " + shape_text(column.shape);
}

std::string width_hint(const Column& one, const Column& other) {
  const bool are_lists = one.shape.size() == 1 && other.shape.size() == 1;
  if (!are_lists || one.shape == other.shape || one.name == "target") return {};
  return " If they come from libsvm files, which don't say how many features there are, set "
         "num_features to that number when they are read or converted.";
}

void check_options(const ShardOptions& options) {
  if (options.num_features < 0 || options.num_features > kMostFeatures) {
    throw ConfigError::invalid_value("num_features", std::to_string(options.num_features),
                                     "must be from 0 to " + std::to_string(kMostFeatures));
  }
  if (options.format != "auto" &&
      std::find(kFormats.begin(), kFormats.end(), options.format) == kFormats.end()) {
    auto known = kFormats;
    known.insert(known.begin(), "auto");
    throw ConfigError::unknown_name("format", options.format, known);
  }
}

Shards open_shards(const std::vector<fs::path>& files, const std::vector<fs::path>& targets,
                   const ShardOptions& options) {
  check_options(options);
  if (!targets.empty() && targets.size() != files.size()) {
    throw ConfigError::conflict(counted(files.size(), "file") + " of rows can't be paired with " +
                                    counted(targets.size(), "file") + " of targets",
                                "name one file of targets for each file of rows");
  }
  Shards shards;
  std::vector<std::shared_ptr<TextShard>> texts;
  ShardOptions csv_options = options;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string format = format_of(files[i], options.format);
    const fs::path* target = targets.empty() ? nullptr : &targets[i];
    if (format == "npy" || format == "idx") {
      shards.push_back(open_dense(format, files[i], target, options));
      continue;
    }
    if (target != nullptr) {
      throw ConfigError::conflict(
          "the file of targets '" + target->string() + "' can't go with '" + files[i].string() +
              "'",
          "only .npy and IDX files can have a file of targets, so leave it out");
    }
    if (format == "lvb") {
      shards.push_back(open_lvb(MappedFile(files[i])));
      const auto layout = shards.back()->layout();
      if (layout && csv_options.like) require_same_order(*layout, *csv_options.like);
      if (!csv_options.like) csv_options.like = layout;
      continue;
    }
    texts.push_back(format == "csv" ? open_csv(MappedFile(files[i]), csv_options)
                                    : open_libsvm(MappedFile(files[i]), options));
    shards.push_back(texts.back());
    if (!csv_options.like) csv_options.like = texts.back()->layout();
  }
  if (shards.empty()) throw DataError::empty("the list of files", "name at least one");
  make_alike(texts, options);
  check_alike(shards);
  if (options.note) tell_notes(texts, csv_options.like, options.note);
  return shards;
}

ShardOptions settled(ShardOptions options, const Shards& shards) {
  for (const auto& shard : shards) {
    const auto* text = dynamic_cast<const TextShard*>(shard.get());
    if (text != nullptr && text->summary().has_zero) options.keep_signs = true;
    if (!options.like) options.like = shard->layout();
  }
  const auto& columns = shards.front()->columns();
  // libsvm files leave out zeros, so they can't tell how many features there are.
  const auto& shape = columns.front().shape;
  if (options.num_features == 0 && shape.size() == 1 && shape.front() <= kMostFeatures) {
    options.num_features = shape.front();
  }
  for (const auto& column : columns) {
    if (column.name != "target" || options.target_type != TargetType::automatic) continue;
    options.target_type = is_floating(column.dtype) ? TargetType::values : TargetType::classes;
  }
  return options;
}

std::vector<fs::path> find_files(const std::vector<std::string>& names, std::string_view option) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const auto& name : expand_home(names, option)) {
    if (fs::is_directory(name, ignored)) {
      append_folder(name, files);
    } else if (fs::exists(name, ignored) || name.find_first_of("*?[") == name.npos) {
      files.emplace_back(name);
    } else {
      append_matches(name, files);
    }
  }
  return files;
}

}  // namespace levin::readers
