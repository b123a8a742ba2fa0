#include <levin/datamodules/table.h>

#include <cfloat>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/fit_table.h>
#include <levin/datamodules/tables/fit_target.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

tables::TableSettings table_settings(const TableDataModuleOptions& o) {
  return {.target = o.target,
          .key = o.key,
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

at::ScalarType scalar_type_of(const std::string& dtype) {
  if (dtype == "float32") return at::kFloat;
  if (dtype == "float64") return at::kDouble;
  throw ConfigError::unknown_name("dtype", dtype, {"float32", "float64"});
}

/// A tensor of a shape that holds a copy of the numbers.
torch::Tensor copied(std::vector<double>& numbers, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(numbers.data(), shape, at::kDouble)
      .to(type, /*non_blocking=*/false,
          /*copy=*/true);
}

}  // namespace

Fields describe(TableDataModuleOptions& o) {
  return fields_of<TableDataModuleOptions>({
      {"x", &o.x, "CSV file whose first line names the columns; needed to train"},
      {"x_val", &o.x_val, "file of validation rows, instead of val_split"},
      {"x_test", &o.x_test, "file of test rows, instead of test_split; may be without x"},
      {"target", &o.target, "column to predict; needed to train"},
      {"key", &o.key, "column that tells rows apart, written beside predictions"},
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
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"val_split", &o.val_split, "share of the rows to validate on"},
      {"test_split", &o.test_split, "share of the rows to test on"},
      {"shuffle", &o.shuffle, "shuffle before splitting and in each epoch"},
      {"stratify", &o.stratify, "split so that every class has its share of each set"},
      {"seed", &o.seed, "seed of the split"},
      {"dtype", &o.dtype, "type of features and values: float32 or float64"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
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
  scalar_type_of(o.dtype);
}

void TableDataModule::setup(Stage stage) {
  if (stage == Stage::predict) return load_for_prediction();
  if (stage == Stage::fit && options_.x.empty()) {
    throw ConfigError::conflict("x is empty, but training needs it",
                                "name the CSV file of the training rows");
  }
  load();
  if (stage == Stage::fit) note_other_settings();
  const bool has_own = (stage == Stage::validate && !options_.x_val.empty()) ||
                       (stage == Stage::test && !options_.x_test.empty());
  if (!options_.x.empty() && !has_own) require_no_empty_set(rows_, row_split(), stage);
  if ((stage != Stage::validate && stage != Stage::test) || has_own) return;
  if (std::exchange(split_is_noted_, true)) return;
  auto text = note_on_split(trained_split_, row_split(), stage);
  if (!text.empty()) note(std::move(text));
}

void TableDataModule::load() {
  if (loaded_) return;
  fitted_ = taken_;
  auto predict = std::move(sets_.predict);
  sets_ = {};
  sets_.predict = std::move(predict);
  if (!options_.x.empty()) load_rows();
  if (!options_.x_val.empty()) sets_.val = whole_file(options_.x_val);
  if (!options_.x_test.empty()) sets_.test = whole_file(options_.x_test);
  loaded_ = true;
}

/// Reads x and divides its rows. Only the training rows are looked at before all rows are made to
/// features.
void TableDataModule::load_rows() {
  const auto table = tables::TextTable::read(options_.x);
  rows_ = table.rows();
  if (settings_.target.empty() && !fitted_) {
    throw ConfigError::conflict("target is empty",
                                fmt::format("name the column of {} to predict; its columns are {}",
                                            table.file(), readers::listed(table.columns())));
  }
  auto settings = settings_;
  if (fitted_) settings.target = fitted_->target;
  std::vector<int64_t> labels;
  if (options_.stratify) labels = tables::stratification_labels(table, settings);
  auto split = split_rows(rows_, row_split(), labels);
  if (!fitted_) {
    require_no_empty_set(rows_, row_split(), Stage::fit);
    std::vector<std::string> notes;
    fitted_ = tables::fit_table(table, split.train, settings, notes);
    for (auto& text : notes) note(std::move(text));
  }
  const auto whole = dataset(table);
  const auto take = [&](std::shared_ptr<const Dataset>& set, std::vector<int64_t> chosen) {
    if (!chosen.empty()) set = std::make_shared<Subset>(whole, std::move(chosen));
  };
  take(sets_.train, std::move(split.train));
  take(sets_.val, std::move(split.val));
  take(sets_.test, std::move(split.test));
}

void TableDataModule::load_for_prediction() {
  if (sets_.predict) return;
  const auto& o = options_;
  const auto& path = !o.x.empty() ? o.x : !o.x_test.empty() ? o.x_test : o.x_val;
  if (!fitted_) fitted_ = taken_;
  if (!fitted_ && !o.x.empty() && !o.target.empty()) load();
  require_fitted(path);
  const auto table = tables::TextTable::read(path);
  sets_.predict = std::make_shared<TensorDataset>(NamedTensors{{"input", features(table)}});
  const auto& key = o.key.empty() ? fitted_->key : o.key;
  if (key.empty()) return;
  if (o.key.empty() && !table.has(key)) {
    note(
        fmt::format("{} doesn't have the column {}, which was the key of the training data, so "
                    "predictions have none. Set key to name another column.",
                    table.file(), readers::in_quotes(key)));
    return;
  }
  keys_ = {key, tables::keys_of(table, key)};
}

void TableDataModule::require_fitted(const std::string& file) const {
  if (fitted_) return;
  throw ConfigError::conflict(
      fmt::format("nothing says how the columns of {} become features", file),
      "give the checkpoint of a model that was trained with TableDataModule, or the settings of "
      "its training: x and target");
}

std::shared_ptr<const Dataset> TableDataModule::whole_file(const std::string& path) const {
  require_fitted(path);
  return dataset(tables::TextTable::read(path));
}

std::shared_ptr<const Dataset> TableDataModule::dataset(const tables::TextTable& table) const {
  auto targets = tables::targets_of(*fitted_, table);
  const auto type = fitted_->has_values ? scalar_type_of(options_.dtype) : at::kLong;
  return std::make_shared<TensorDataset>(features(table), copied(targets, {table.rows()}, type));
}

torch::Tensor TableDataModule::features(const tables::TextTable& table) const {
  const auto type = scalar_type_of(options_.dtype);
  auto numbers =
      tables::features_of(*fitted_, table, unknown(), type == at::kFloat ? FLT_MAX : DBL_MAX);
  return copied(numbers, {table.rows(), fitted_->width()}, type);
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
          .seed = o.seed};
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

void TableDataModule::load_fitted_state(const StateDict& state) {
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
  if (is_known) return;
  loaded_ = false;
  fitted_ = {};
  sets_ = {};
  keys_ = {};
}

std::vector<std::string> TableDataModule::fitted_settings() const {
  return {"features",          "exclude",     "numbers",        "categories", "hashed",
          "hash_columns",      "min_count",   "missing_values", "missing",    "missing_in",
          "missing_indicator", "standardize", "target_type"};
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

int64_t TableDataModule::num_classes() { return std::ssize(fitted().class_names); }

}  // namespace levin
