#include <levin/datamodules/table.h>

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

tables::TableSettings table_settings(const TableDataModuleOptions& o) {
  return {.target = o.target,
          .key = o.key,
          .weights = o.weights,
          .group = o.group,
          .features = o.features,
          .exclude = o.exclude,
          .numbers = o.numbers,
          .categories = o.categories,
          .hashed = o.hashed,
          .hash_columns = o.hash_columns,
          .min_count = o.min_count,
          .unknown = tables::parse_unknown_rule(o.unknown.value_or("refuse")),
          .missing_values = o.missing_values,
          .missing = tables::parse_missing_rule("missing", o.missing),
          .missing_in = o.missing_in,
          .missing_indicator = o.missing_indicator,
          .standardize = o.standardize,
          .target_type = readers::parse_target_type(o.target_type)};
}

void check_stream(const TableDataModuleOptions& o) {
  if (o.shuffle_rows < 0) {
    throw ConfigError::invalid_value("shuffle_rows", std::to_string(o.shuffle_rows),
                                     "must be at least 0");
  }
  if (!o.stream && o.shuffle_rows != 0) {
    throw ConfigError::conflict("shuffle_rows without stream = true",
                                "rows in memory are shuffled all together; leave it out");
  }
  if (o.hashed.empty() && o.hash_columns != TableDataModuleOptions().hash_columns) {
    throw ConfigError::conflict(fmt::format("hash_columns = {} without hashed", o.hash_columns),
                                "name the columns to hash in hashed, or leave hash_columns out");
  }
  if (o.stream && !o.sampling.empty()) {
    throw ConfigError::conflict(
        fmt::format("stream = true can't go with sampling = {}, for which all rows would have to "
                    "be known when an epoch begins",
                    o.sampling),
        "leave out one of the two");
  }
  if (!o.stream || !o.stratify) return;
  throw ConfigError::conflict(
      "stream = true can't go with stratify = true, for which all targets would have to be known "
      "before the rows are divided",
      "leave out stratify, with which many rows make little difference; or name files of their own "
      "in x_val and x_test");
}

void refuse_single_class(const tables::FittedTable& fitted, const std::string& file) {
  if (fitted.class_names.size() != 1) return;
  throw DataError(fmt::format(
      "{}: in the column {}, all training rows have the target {}, but there must be two classes "
      "at "
      "least. Check that it is the column to predict, and that rows of all classes are trained on "
      "(stratify = true); or set target_type = value if the column holds numbers to predict.",
      file, readers::in_quotes(fitted.target), readers::in_quotes(fitted.class_names.front())));
}

}  // namespace

Fields describe(TableDataModuleOptions& o) {
  return fields_of<TableDataModuleOptions>({
      {"x", &o.x, "CSV file whose first line names the columns; needed to train"},
      {"x_val", &o.x_val, "file of validation rows, instead of val_split"},
      {"x_test", &o.x_test, "file of test rows, instead of test_split; may be without x"},
      {"target", &o.target, "column to predict; needed to train"},
      {"key", &o.key, "column that tells rows apart, written beside predictions"},
      {"weights", &o.weights, "column of the weights of the rows of x; empty: no weights"},
      {"group", &o.group, "column that names the groups of rows; empty: no groups"},
      {"features", &o.features, "columns or patterns to learn from; empty: all others"},
      {"exclude", &o.exclude, "columns or patterns to leave out, such as dates"},
      {"numbers", &o.numbers, "columns that hold numbers; others are looked at"},
      {"categories", &o.categories, "columns whose texts are categories"},
      {"hashed", &o.hashed, "categories that are hashed to hash_columns features"},
      {"hash_columns", &o.hash_columns, "features of each hashed column"},
      {"min_count", &o.min_count, "rows that a value must have to be known"},
      {"unknown", &o.unknown, "values not seen in training: refuse, ignore or column"},
      {"missing_values", &o.missing_values, "cells that count as missing"},
      {"missing", &o.missing,
       "stands for missing cells: refuse, mean, median, most_frequent, category or a number"},
      {"missing_in", &o.missing_in, "the same for single columns: age=median"},
      {"missing_indicator", &o.missing_indicator, "add a feature: 1 if the number was missing"},
      {"standardize", &o.standardize, "subtract the mean of numbers, divide by their deviation"},
      {"target_type", &o.target_type, "class, value, or auto (texts, whole numbers are classes)"},
      shared_option("batch_size", &o.batch_size),
      shared_option("val_split", &o.val_split),
      shared_option("test_split", &o.test_split),
      shared_option("shuffle", &o.shuffle),
      shared_option("stratify", &o.stratify),
      shared_option("seed", &o.seed),
      {"dtype", &o.dtype, "type of features, values and weights: float32 or float64"},
      {"stream", &o.stream, "read the file by blocks in each epoch, not all into memory"},
      {"shuffle_rows", &o.shuffle_rows, "streamed rows shuffled at a time; 0: as many as 128 MiB"},
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      shared_option("sampling", &o.sampling),
  });
}

TableDataModule::TableDataModule(TableDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)),
      options_(std::move(options)),
      settings_(table_settings(options_)) {
  auto& o = options_;
  if (o.x.empty() && o.x_val.empty() && o.x_test.empty()) {
    throw ConfigError::conflict("x is empty", "name the CSV file of the table");
  }
  const std::pair<std::string*, const char*> files[] = {
      {&o.x, "x"}, {&o.x_val, "x_val"}, {&o.x_test, "x_test"}};
  for (const auto& [path, name] : files) *path = expand_home(std::move(*path), name);
  if (o.dtype != "float32" && o.dtype != "float64") {
    throw ConfigError::unknown_name("dtype", o.dtype, {"float32", "float64"});
  }
  check_stream(o);
  set_sampling(o.sampling);
}

void TableDataModule::setup(Stage stage) {
  if (stage == Stage::predict) return load_for_prediction();
  if (stage == Stage::fit && options_.x.empty()) {
    throw ConfigError::conflict("x is empty, but training needs it",
                                "name the CSV file of the training rows");
  }
  load();
  if (stage == Stage::fit) {
    refuse_single_class(*fitted_, options_.x);
    check_validation();
    note_other_settings();
  }
  const bool has_own = (stage == Stage::validate && !options_.x_val.empty()) ||
                       (stage == Stage::test && !options_.x_test.empty());
  if (!options_.x.empty() && !has_own) {
    if (streamed_) {
      require_no_empty_set(*streamed_, row_split(), stage);
    } else {
      require_no_empty_set(rows_, row_split(), stage);
    }
  }
  if ((stage != Stage::validate && stage != Stage::test) || has_own) return;
  if (std::exchange(split_is_noted_, true)) return;
  auto text = note_on_split(trained_split_, row_split(), stage);
  if (!text.empty()) note(std::move(text));
}

tables::UnknownRule TableDataModule::unknown() const {
  return options_.unknown ? settings_.unknown : fitted_->unknown;
}

RowSplit TableDataModule::row_split() const {
  const auto& o = options_;
  return {.file = o.x,
          .val_split = o.x_val.empty() ? o.val_split : 0.0,
          .test_split = o.x_test.empty() ? o.test_split : 0.0,
          .shuffle = o.shuffle,
          .stratify = o.stratify,
          .seed = o.seed,
          .draws_rows = o.stream && o.shuffle};
}

StateDict TableDataModule::fitted_state() {
  StateDict state;
  state.values["table"] = tables::to_value(fitted());
  Value settings = taken_ ? trained_settings_ : column_settings();
  if (!settings.is_null()) state.values["settings"] = std::move(settings);
  Value split = options_.x.empty() ? trained_split_ : to_value(row_split());
  if (!split.is_null()) state.values["split"] = std::move(split);
  return state;
}

void TableDataModule::learn_anew() {
  taken_ = {};
  trained_settings_ = {};
  trained_split_ = {};
  reset();
}

void TableDataModule::load_fitted_state(const StateDict& state) {
  note_taken_over();
  Value split = state.values.contains("split") ? state.values.at("split") : Value();
  if (split != trained_split_) split_is_noted_ = false;
  trained_split_ = std::move(split);
  trained_settings_ = state.values.contains("settings") ? state.values.at("settings") : Value();
  std::optional<tables::FittedTable> taken;
  if (state.values.contains("table")) taken = tables::fitted_table_from(state.values.at("table"));
  if (taken && !options_.target.empty() && taken->target != options_.target) {
    throw ConfigError::conflict(
        fmt::format("target is {}, but the model was trained to predict {}",
                    readers::in_quotes(options_.target), readers::in_quotes(taken->target)),
        "leave target out, or train a model for it");
  }
  const bool is_known = taken == fitted_ || taken == taken_;
  taken_ = std::move(taken);
  if (!is_known) reset();
}

/// Forgets what was loaded, so that the next `setup` loads it again.
void TableDataModule::reset() {
  loaded_ = false;
  fitted_ = {};
  sets_ = {};
  keys_ = {};
  streamed_ = {};
  sums_ = {};
}

void TableDataModule::set_floating_type(at::ScalarType type) {
  const auto before = number_type(options_.dtype);
  SplitDataModule::set_floating_type(type);
  if (number_type(options_.dtype) != before) reset();
}

std::vector<std::string> TableDataModule::fitted_settings() const {
  return {"features",          "exclude",     "numbers",        "categories", "hashed",
          "hash_columns",      "min_count",   "missing_values", "missing",    "missing_in",
          "missing_indicator", "standardize", "target_type",    "group"};
}

Value TableDataModule::column_settings() const {
  const Value all = hyper_parameters();
  Value chosen;
  for (const auto& name : fitted_settings()) chosen[name] = all.at(name);
  return chosen;
}

/// Notes if a fit that goes on from a checkpoint has other settings about columns.
void TableDataModule::note_other_settings() {
  if (!taken_ || !trained_settings_.is_object()) return;
  std::vector<std::string> changes;
  for (const auto& [name, value] : column_settings().as_object()) {
    if (!trained_settings_.contains(name) || trained_settings_.at(name) == value) continue;
    changes.push_back(
        fmt::format("{} = {} ({})", name, value.to_json(), trained_settings_.at(name).to_json()));
  }
  if (changes.empty() || std::exchange(settings_are_noted_, true)) return;
  note(fmt::format(
      "{}: columns become features as in the checkpoint, whose settings are in brackets, so that "
      "these don't count: {}. Train from the beginning to use them",
      options_.x, fmt::join(changes, ", ")));
}

Value TableDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

const tables::FittedTable& TableDataModule::fitted() {
  if (!fitted_) fitted_ = taken_;
  if (!fitted_) load();
  require_fitted(options_.x_val.empty() ? options_.x_test : options_.x_val);
  return *fitted_;
}

std::vector<std::string> TableDataModule::class_names() { return fitted().class_names; }

std::vector<std::string> TableDataModule::group_names() { return fitted().group_names; }

int64_t TableDataModule::num_classes() { return std::ssize(fitted().class_names); }

}  // namespace levin
