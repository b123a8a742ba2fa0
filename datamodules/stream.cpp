#include <levin/datamodules/stream.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

const readers::Column* find_column(const std::vector<readers::Column>& columns,
                                   std::string_view name) {
  for (const auto& column : columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

bool has_target(const ShardedDataset& set) {
  return find_column(set.columns(), "target") != nullptr;
}

/// Throws DataError unless `set` has the features of the first set and, if both have targets,
/// targets of the same type in a batch.
void check_alike(const ShardedDataset& set, const ShardedDataset& first) {
  const auto& shard = *set.shards().front();
  const auto& first_shard = *first.shards().front();
  const auto check = [&](std::string_view name, const std::vector<readers::Column>& columns,
                         const std::vector<readers::Column>& others) {
    const auto* column = find_column(columns, name);
    const auto* expected = find_column(others, name);
    if (column == nullptr || expected == nullptr || *column == *expected) return;
    throw DataError::bad_value(fmt::format("the {} of a row", name),
                               fmt::format("{}, but {} in {}", readers::column_text(*column),
                                           readers::column_text(*expected), first_shard.name()),
                               shard.name(),
                               "name only files whose rows have the same type and shape." +
                                   readers::width_hint(*column, *expected));
  };
  check("input", shard.columns(), first_shard.columns());
  check("target", set.columns(), first.columns());
}

constexpr const char* kFittedValues[] = {"target_type", "num_features", "keep_signs", "scale",
                                         "columns"};

bool has_bytes(const ShardedDataset& set) {
  return set.shards().front()->columns().front().dtype == readers::DType::uint8;
}

/// Settles what `options` leave open by what was learned from the training data.
readers::ShardOptions settled_by(const Value& fitted, readers::ShardOptions options) {
  if (options.target_type == readers::TargetType::automatic && fitted.contains("target_type")) {
    options.target_type = readers::parse_target_type(fitted.at("target_type").as_string());
  }
  if (options.num_features == 0 && fitted.contains("num_features")) {
    options.num_features = fitted.at("num_features").as_int();
    readers::check_options(options);
  }
  if (fitted.contains("keep_signs")) options.keep_signs = fitted.at("keep_signs").as_bool();
  if (fitted.contains("columns")) options.like = readers::layout_from(fitted.at("columns"));
  return options;
}

void check_at_least(const char* option, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(option, std::to_string(value),
                                   fmt::format("must be at least {}", least));
}

void check_targets(const char* set, const std::vector<std::string>& files,
                   const std::vector<std::string>& targets) {
  if (targets.empty() || !files.empty()) return;
  throw ConfigError::conflict(
      fmt::format("{0}_targets names files, but {0} is empty", set),
      fmt::format("name the files of the features in {0}, or leave out {0}_targets", set));
}

}  // namespace

Fields describe(StreamDataModuleOptions& o) {
  return fields_of<StreamDataModuleOptions>({
      {"train", &o.train, "training files, folders of them, or patterns"},
      {"val", &o.val, "validation files"},
      {"test", &o.test, "test files"},
      {"predict", &o.predict, "files to predict for; empty: those of test"},
      {"train_targets", &o.train_targets,
       "files of the targets, if .npy or IDX files keep them apart"},
      {"val_targets", &o.val_targets, "the same for val"},
      {"test_targets", &o.test_targets, "the same for test"},
      {"format", &o.format, "lvb, npy, idx, csv, libsvm, or auto (by the files' names)"},
      {"target_column", &o.target_column,
       "target column of a CSV file or an array: name, number or none"},
      {"header", &o.header, "first lines of CSV files name the columns: true, false or auto"},
      {"ignore_extra_columns", &o.ignore_extra_columns,
       "leave out columns of CSV files that aren't in the first file"},
      {"target_type", &o.target_type, "class, value, or auto (integers are classes)"},
      {"num_features", &o.num_features,
       "features of a libsvm row; 0: the highest feature number found"},
      {"zero_based", &o.zero_based, "libsvm files number features from 0, not from 1"},
      {"scale", &o.scale, "multiply uint8 features by this to get float32; 0: they stay uint8"},
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"shuffle", &o.shuffle, "shuffle the training rows in each epoch"},
      {"shuffle_rows", &o.shuffle_rows, "rows shuffled at a time; 0: as many as fit in 128 MiB"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
      {"page_cache", &o.page_cache,
       "keep what was read in the system's page cache; null: if it fits"},
  });
}

StreamDataModule::StreamDataModule(StreamDataModuleOptions options) : options_(std::move(options)) {
  const auto& o = options_;
  if (o.train.empty() && o.val.empty() && o.test.empty() && o.predict.empty()) {
    throw ConfigError::conflict("train, val, test and predict are all empty",
                                "name a file in at least one of them");
  }
  check_targets("train", o.train, o.train_targets);
  check_targets("val", o.val, o.val_targets);
  check_targets("test", o.test, o.test_targets);
  check_at_least("shuffle_rows", o.shuffle_rows, 0);
  check_at_least("batch_size", o.batch_size, 1);
  check_at_least("num_workers", o.num_workers, 0);
  if (!(o.scale >= 0.0) || !std::isfinite(o.scale)) {
    throw ConfigError::invalid_value("scale", fmt::format("{}", o.scale),
                                     "must be a finite number, at least 0");
  }
  shard_options_ = {.format = o.format,
                    .target_column = o.target_column,
                    .target_type = readers::parse_target_type(o.target_type),
                    .header = readers::parse_csv_header(o.header),
                    .ignore_extra_columns = o.ignore_extra_columns,
                    .num_features = o.num_features,
                    .zero_based = o.zero_based};
  readers::check_options(shard_options_);
  taken_options_ = shard_options_;
}

void StreamDataModule::set_floating_type(at::ScalarType type) {
  if (type != floating_type()) loaded_ = false;
  DataModule::set_floating_type(type);
}

void StreamDataModule::setup(Stage stage) {
  load();
  if (stage == Stage::predict) return;
  const std::pair<const char*, Set> sets[] = {
      {"train", train_set_}, {"val", val_set_}, {"test", test_set_}};
  for (const auto& [name, set] : sets) {
    if (set == nullptr || has_target(*set)) continue;
    throw DataError(
        fmt::format("{} has no targets, which training, validation and testing need; set "
                    "target_column, or name their files in {}_targets",
                    set->shards().front()->name(), name));
  }
}

void StreamDataModule::load() {
  if (loaded_) return;
  const auto& o = options_;
  first_ = nullptr;
  auto options = taken_options_;
  options.note = [this](const std::string& text) { note(text); };
  train_set_ = open("train", o.train, o.train_targets, options);
  val_set_ = open("val", o.val, o.val_targets, options);
  test_set_ = open("test", o.test, o.test_targets, options);
  options.target_optional = true;
  options.skip_target = true;
  predict_set_ = o.predict.empty() ? test_set_ : open("predict", o.predict, {}, options);
  settled_ = std::move(options);
  settled_.note = {};  // it refers to this object, which may be copied
  require_same_scale();
  loaded_ = true;
}

void StreamDataModule::require_same_scale() const {
  if (!taken_scale_ || !has_bytes(*first_) || *taken_scale_ == options_.scale) return;
  throw ConfigError::conflict(
      fmt::format("the model was trained with scale = {}, but here scale is {}", *taken_scale_,
                  options_.scale),
      "set the same scale, so that features have the same meaning");
}

StateDict StreamDataModule::fitted_state() {
  load();
  StateDict state;
  if (settled_.target_type != readers::TargetType::automatic) {
    const bool are_classes = settled_.target_type == readers::TargetType::classes;
    state.values["target_type"] = are_classes ? "class" : "value";
  }
  if (settled_.num_features > 0) state.values["num_features"] = settled_.num_features;
  if (settled_.keep_signs) state.values["keep_signs"] = true;
  if (has_bytes(*first_)) state.values["scale"] = options_.scale;
  if (settled_.like && !settled_.like->names.empty()) {
    state.values["columns"] = to_value(*settled_.like);
  }
  return state;
}

void StreamDataModule::load_fitted_state(const StateDict& state) {
  Value taken = Value::Object{};
  for (const char* name : kFittedValues) {
    if (state.values.contains(name)) taken[name] = state.values.at(name);
  }
  auto options = settled_by(taken, shard_options_);
  std::optional<double> scale;
  if (taken.contains("scale")) scale = taken.at("scale").as_double();
  class_names_ = class_names_in(state);
  if (taken == taken_ || (loaded_ && taken == fitted_state().values)) return;
  taken_ = std::move(taken);
  taken_options_ = std::move(options);
  taken_scale_ = scale;
  loaded_ = false;
}

StreamDataModule::Set StreamDataModule::open(const std::string& name,
                                             const std::vector<std::string>& files,
                                             const std::vector<std::string>& targets,
                                             readers::ShardOptions& options) {
  if (files.empty()) return nullptr;
  auto shards = readers::open_shards(readers::find_files(files, name),
                                     readers::find_files(targets, name + "_targets"), options);
  if (first_ == nullptr) {
    options = readers::settled(std::move(options), shards);
    options.separate_targets = !targets.empty();
  }
  const auto set = std::make_shared<ShardedDataset>(
      std::move(shards),
      ShardedDatasetOptions{.scale = options_.scale,
                            .target_type = options.target_type,
                            .keep_float64 = floating_type() == at::kDouble,
                            .page_cache = options_.page_cache,
                            .read_threads = std::max<int64_t>(1, options_.num_workers)});
  if (first_ == nullptr) {
    first_ = set;
  } else {
    check_alike(*set, *first_);
  }
  return set;
}

DataLoaders StreamDataModule::loader(const Set& set, bool is_train) {
  if (set == nullptr) return {};
  return DataLoader(set, {.batch_size = options_.batch_size,
                          .drop_last = is_train && options_.drop_last,
                          .num_workers = options_.num_workers,
                          .pin_memory = options_.pin_memory,
                          .sampler = set->sampler({.shuffle = is_train && options_.shuffle,
                                                   .shuffle_rows = options_.shuffle_rows})});
}

DataLoaders StreamDataModule::train_dataloader() {
  setup(Stage::fit);
  return loader(train_set_, true);
}

DataLoaders StreamDataModule::val_dataloader() {
  setup(Stage::validate);
  return loader(val_set_, false);
}

DataLoaders StreamDataModule::test_dataloader() {
  setup(Stage::test);
  return loader(test_set_, false);
}

DataLoaders StreamDataModule::predict_dataloader() {
  setup(Stage::predict);
  return loader(predict_set_, false);
}

Value StreamDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<int64_t> StreamDataModule::dims() {
  load();
  return first_->columns().front().shape;
}

}  // namespace levin
