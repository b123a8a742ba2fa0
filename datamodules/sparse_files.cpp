#include <levin/datamodules/sparse_files.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/sparse_lvb.h>
#include <levin/datamodules/readers/sparse_npz.h>
#include <levin/datamodules/readers/text_file.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

namespace fs = std::filesystem;
using readers::SparseRows;

const std::vector<std::string> kSparseFormats = {"libsvm", "npz", "vw", "criteo", "lvb"};

std::string format_by_name(const fs::path& file) {
  constexpr std::pair<const char*, const char*> kEndings[] = {
      {".libsvm", "libsvm"}, {".svm", "libsvm"}, {".svmlight", "libsvm"}, {".npz", "npz"},
      {".vw", "vw"},         {".tsv", "criteo"}, {".lvb", "lvb"}};
  const auto plain = readers::without_gz(file);
  const auto ending = to_small_letters(plain.extension().string());
  for (const auto& [known, format] : kEndings) {
    if (ending != known) continue;
    if (plain == file || is_sparse_text(format)) return format;
    throw DataError::unreadable(file.string(), fmt::format("only text may be gzipped, but not {} "
                                                           "files; unpack it with gunzip first",
                                                           known));
  }
  std::vector<std::string> endings;
  for (const auto& known : kEndings) endings.emplace_back(known.first);
  if (auto hint = missing_file_of_other_ending(file.string(), endings); !hint.empty()) {
    throw DataError::unreadable(file.string(), fmt::format("its name ends in none of {}{}",
                                                           fmt::join(endings, ", "), hint));
  }
  throw DataError::bad_value("the ending of the file's name", readers::in_quotes(ending),
                             file.string(),
                             "it must be .libsvm, .svm, .npz, .vw, .tsv or .lvb to tell the format "
                             "of sparse rows; .gz may follow that of a text. Set format to what "
                             "it is");
}

readers::SparseLibsvmOptions libsvm_options(const SparseFileOptions& options) {
  readers::SparseLibsvmOptions result;
  result.num_features = options.columns;
  result.zero_based = options.zero_based;
  result.sort_indices = options.sort_indices;
  result.keep_signs = true;  // SparseDataModule settles what -1 is
  result.threads = options.threads;
  return result;
}

readers::SparseVwOptions vw_options(const SparseFileOptions& options, bool skip_targets) {
  readers::SparseVwOptions result;
  result.bits = hash_bits_of(options, "vw");
  result.quadratic = options.quadratic;
  result.constant = options.constant;
  result.hash_all = options.hash_all;
  if (options.hash_seed < 0 || options.hash_seed > int64_t{0xffffffff}) {
    throw ConfigError::invalid_value("hash_seed", std::to_string(options.hash_seed),
                                     "must be from 0 to 4294967295");
  }
  result.hash_seed = static_cast<uint32_t>(options.hash_seed);
  result.skip_targets = skip_targets;
  result.keep_signs = true;
  result.threads = options.threads;
  return result;
}

/// Whether the lines of a Criteo table lack the label: the first one has 39 cells.
bool lacks_label(const fs::path& file) {
  const auto line = readers::first_line(file);
  return std::count(line.begin(), line.end(), '\t') == 38;
}

readers::SparseCriteoOptions criteo_options(const std::vector<fs::path>& files,
                                            const SparseFileOptions& options, bool skip_targets) {
  readers::SparseCriteoOptions result;
  result.bits = hash_bits_of(options, "criteo");
  result.skip_targets = skip_targets && !files.empty() && lacks_label(files.front());
  result.threads = options.threads;
  return result;
}

void append_file(SparseRows part, const std::string& name, SparseRows& all) {
  if (all.rows() == 0) {
    all = std::move(part);
    return;
  }
  if (all.targets.empty() != part.targets.empty()) {
    throw DataError(fmt::format(
        "{} has {}targets, but the files in front of it have {}; name only "
        "files that are alike",
        name, part.targets.empty() ? "no " : "", all.targets.empty() ? "none" : "some"));
  }
  const int64_t columns = std::max(all.columns, part.columns);
  all.append(part);
  all.columns = columns;
}

SparseRows read_lvb(const fs::path& file, int64_t columns) {
  const readers::SparseLvb shard(file);
  auto rows = shard.read(0, shard.rows());
  if (columns > 0 && rows.columns > columns) {
    throw DataError::bad_value("the number of columns", std::to_string(rows.columns), file.string(),
                               fmt::format("the rows may have at most {} columns; make the file "
                                           "again with num_features = {}, or set columns",
                                           columns, columns));
  }
  return rows;
}

SparseRows read_all_files(const std::vector<fs::path>& files, const std::string& format,
                          const SparseFileOptions& options, bool skip_targets, bool& zero_based) {
  if (format == "vw") return readers::read_sparse_vw(files, vw_options(options, skip_targets));
  if (format == "criteo") {
    return readers::read_sparse_criteo(files, criteo_options(files, options, skip_targets));
  }
  if (format == "libsvm") {
    auto libsvm = libsvm_options(options);
    libsvm.found_zero_based = &zero_based;
    return readers::read_sparse_libsvm(files, libsvm);
  }
  SparseRows all;
  for (const auto& file : files) {
    if (format == "npz") {
      append_file(readers::read_sparse_npz(file, {.num_features = options.columns,
                                                  .sort_indices = options.sort_indices}),
                  file.string(), all);
    } else {
      append_file(read_lvb(file, options.columns), file.string(), all);
    }
  }
  all.shrink();
  return all;
}

[[noreturn]] void refuse_hash(const std::string& name, const Value& trained, const Value& here) {
  throw ConfigError::conflict(
      fmt::format("the model was trained with {} = {}, but here it is {}", name, trained.to_json(),
                  here.to_json()),
      "set the same, or leave it out, so that columns have the same meaning");
}

}  // namespace

std::string sparse_format(const std::vector<fs::path>& files, const std::string& format) {
  if (format != "auto") {
    if (std::count(kSparseFormats.begin(), kSparseFormats.end(), format) > 0) return format;
    auto known = kSparseFormats;
    known.emplace_back("auto");
    throw ConfigError::unknown_name("format", format, known);
  }
  if (files.empty()) throw DataError::empty("the list of files", "name at least one");
  auto found = format_by_name(files.front());
  for (const auto& file : files) {
    const auto other = format_by_name(file);
    if (other == found) continue;
    throw DataError::bad_value("the format",
                               other + ", but that of " + files.front().string() + " is " + found,
                               file.string(), "the files of a set must have the same format");
  }
  return found;
}

bool is_hashed(const std::string& format) { return format == "vw" || format == "criteo"; }

bool is_sparse_text(const std::string& format) { return is_hashed(format) || format == "libsvm"; }

int64_t hash_bits_of(const SparseFileOptions& options, const std::string& format) {
  if (options.hash_bits != 0) return options.hash_bits;
  return format == "criteo" ? 20 : 18;
}

Value hash_settings(const SparseFileOptions& options, const std::string& format) {
  if (!is_hashed(format)) return {};
  Value settings = Value::Object{{"hash_bits", hash_bits_of(options, format)}};
  if (format == "criteo") return settings;
  settings["quadratic"] = Value::Array(options.quadratic.begin(), options.quadratic.end());
  settings["constant"] = options.constant;
  settings["hash_all"] = options.hash_all;
  settings["hash_seed"] = options.hash_seed;
  return settings;
}

void take_hash_settings(const Value& trained, SparseFileOptions& options) {
  if (!trained.is_object()) return;
  const SparseFileOptions defaults;
  const auto take_number = [&](const char* name, int64_t SparseFileOptions::*field) {
    if (!trained.contains(name)) return;
    const int64_t known = trained.at(name).as_int();
    if (options.*field != defaults.*field && options.*field != known) {
      refuse_hash(name, known, options.*field);
    }
    options.*field = known;
  };
  const auto take_switch = [&](const char* name, bool SparseFileOptions::*field) {
    if (!trained.contains(name)) return;
    const bool known = trained.at(name).as_bool();
    if (options.*field && !known) refuse_hash(name, known, options.*field);
    options.*field = known;
  };
  take_number("hash_bits", &SparseFileOptions::hash_bits);
  take_number("hash_seed", &SparseFileOptions::hash_seed);
  take_switch("constant", &SparseFileOptions::constant);
  take_switch("hash_all", &SparseFileOptions::hash_all);
  if (!trained.contains("quadratic")) return;
  std::vector<std::string> pairs;
  for (const auto& pair : trained.at("quadratic").as_array()) pairs.push_back(pair.as_string());
  if (!options.quadratic.empty() && options.quadratic != pairs) {
    refuse_hash("quadratic", trained.at("quadratic"),
                Value::Array(options.quadratic.begin(), options.quadratic.end()));
  }
  options.quadratic = std::move(pairs);
}

std::shared_ptr<SparseRows> read_sparse_files(const std::vector<fs::path>& files,
                                              SparseFileOptions& options, bool skip_targets) {
  const auto format = sparse_format(files, options.format);
  bool zero_based = false;
  auto rows = std::make_shared<SparseRows>(
      read_all_files(files, format, options, skip_targets, zero_based));
  if (rows->rows() == 0) throw DataError::empty(files.front().string(), "give at least one row");
  if (is_hashed(format)) {
    if (options.columns != 0 && options.columns != rows->columns) {
      throw ConfigError::conflict(
          fmt::format("columns = {}, but hash_bits make {} columns", options.columns,
                      rows->columns),
          "leave columns out, or set hash_bits to that of the training data");
    }
  } else if (options.columns > 0) {
    rows->columns = options.columns;
  }
  options.columns = rows->columns;
  if (format == "libsvm") options.zero_based = zero_based;
  return rows;
}

readers::MakeFormat sparse_format_maker(const std::vector<fs::path>& files,
                                        const SparseFileOptions& options, bool skip_targets) {
  const auto format = sparse_format(files, options.format);
  if (format == "vw") {
    auto own = std::make_shared<readers::SparseVwOptions>(vw_options(options, skip_targets));
    return [own](const std::string& name) { return readers::sparse_vw_format(name, *own); };
  }
  if (format == "criteo") {
    const auto own = criteo_options(files, options, skip_targets);
    return [own](const std::string& name) { return readers::sparse_criteo_format(name, own); };
  }
  if (options.columns == 0 || !options.zero_based) {
    throw ConfigError::conflict(
        "stream = true with libsvm files needs columns and zero_based, which can't be known before "
        "all lines were read",
        "set columns to the number of features, and zero_based to whether they are numbered from "
        "0; or leave out stream; or convert the files once: levin convert --sparse true");
  }
  auto own = std::make_shared<readers::SparseLibsvmOptions>(libsvm_options(options));
  return [own](const std::string& name) { return readers::sparse_libsvm_format(name, *own); };
}

}  // namespace levin
