#include <levin/datamodules/stream.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <levin/framework/error.h>

namespace levin {
namespace {

const readers::Column* find_column(const ShardedDataset& set, std::string_view name) {
  for (const auto& column : set.shards().front()->columns()) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

/// Sets of one run: the same features, and targets of the same type where there are any.
void check_alike(const ShardedDataset& set, const ShardedDataset& first) {
  for (const char* name : {"input", "target"}) {
    const auto* column = find_column(set, name);
    const auto* expected = find_column(first, name);
    if (column == nullptr || expected == nullptr || *column == *expected) continue;
    throw DataError::bad_value(
        fmt::format("the {} of each row", name), readers::column_text(*column),
        set.shards().front()->name(),
        fmt::format("in {} it is {}, and they must be alike", first.shards().front()->name(),
                    readers::column_text(*expected)));
  }
}

}  // namespace

readers::TargetKind parse_target_kind(const std::string& word) {
  if (word == "auto") return readers::TargetKind::automatic;
  if (word == "class") return readers::TargetKind::classes;
  if (word == "value") return readers::TargetKind::values;
  throw ConfigError::unknown_name("target_type", word, {"auto", "class", "value"});
}

Fields describe(StreamDataModuleOptions& o) {
  return fields_of<StreamDataModuleOptions>({
      {"train", &o.train, "training files, folders of them, or patterns"},
      {"val", &o.val, "validation files"},
      {"test", &o.test, "test files"},
      {"predict", &o.predict, "files to predict for; none: those of test"},
      {"train_targets", &o.train_targets, "files of targets of their own, for .npy and IDX"},
      {"val_targets", &o.val_targets, "the same for val"},
      {"test_targets", &o.test_targets, "the same for test"},
      {"format", &o.format, "lvb, npy, idx, csv, libsvm, or auto: by the files' names"},
      {"target_column", &o.target_column, "target column of CSV or an array: name, number or none"},
      {"target_type", &o.target_type, "class, value, or auto: integers are classes"},
      {"num_features", &o.num_features, "features a row of libsvm; 0: the highest there is"},
      {"zero_based", &o.zero_based, "libsvm's features are numbered from 0"},
      {"scale", &o.scale, "bytes become float32 times this; 0: they stay bytes"},
      {"batch_size", &o.batch_size, "rows a step"},
      {"shuffle", &o.shuffle, "another order of the training rows in each epoch"},
      {"shuffle_rows", &o.shuffle_rows, "rows mixed at a time; 0: as many as 128 MiB hold"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "page-locked batches for CUDA"},
      {"page_cache", &o.page_cache, "let the system keep what was read; null: where it fits"},
  });
}

StreamDataModule::StreamDataModule(StreamDataModuleOptions options) : options_(std::move(options)) {
  const auto& o = options_;
  if (o.train.empty() && o.val.empty() && o.test.empty() && o.predict.empty()) {
    throw ConfigError::conflict("no files are named", "give train, val, test or predict");
  }
  for (const int64_t value : {o.num_features, o.shuffle_rows}) {
    if (value >= 0) continue;
    throw ConfigError::invalid_value(value == o.num_features ? "num_features" : "shuffle_rows",
                                     std::to_string(value), "must be at least 0");
  }
  if (!(o.scale >= 0.0) || !std::isfinite(o.scale)) {
    throw ConfigError::invalid_value("scale", fmt::format("{}", o.scale), "must be at least 0");
  }
  shard_options_ = {.format = o.format,
                    .target_column = o.target_column,
                    .target_kind = parse_target_kind(o.target_type),
                    .num_features = o.num_features,
                    .zero_based = o.zero_based};
}

void StreamDataModule::setup(Stage stage) {
  load();
  if (stage == Stage::predict) return;
  for (const auto* set : {&train_set_, &val_set_, &test_set_}) {
    if (*set == nullptr || find_column(**set, "target") != nullptr) continue;
    throw DataError::empty("the targets of " + (*set)->shards().front()->name(),
                           "without them there is nothing but prediction");
  }
}

void StreamDataModule::load() {
  if (loaded_) return;
  const auto& o = options_;
  first_ = nullptr;
  shard_options_.num_features = o.num_features;
  train_set_ = open(o.train, o.train_targets, "train");
  val_set_ = open(o.val, o.val_targets, "val");
  test_set_ = open(o.test, o.test_targets, "test");
  predict_set_ = o.predict.empty() ? test_set_ : open(o.predict, {}, "predict");
  loaded_ = true;
}

StreamDataModule::Set StreamDataModule::open(const std::vector<std::string>& files,
                                             const std::vector<std::string>& targets,
                                             const char* option) {
  if (files.empty()) {
    if (targets.empty()) return nullptr;
    throw ConfigError::conflict(fmt::format("{0}_targets without {0}", option),
                                "give both or neither");
  }
  auto shards = readers::open_shards(readers::find_files(files), readers::find_files(targets),
                                     shard_options_);
  const auto set = std::make_shared<ShardedDataset>(
      std::move(shards),
      ShardedDatasetOptions{.scale = options_.scale,
                            .target_kind = shard_options_.target_kind,
                            .page_cache = options_.page_cache,
                            .read_threads = std::max<int64_t>(1, options_.num_workers)});
  if (first_ == nullptr) {
    first_ = set;
    // Rows of the other sets have as many features, whichever of them are zero there.
    if (shard_options_.num_features == 0 && !dims().empty()) {
      shard_options_.num_features = dims().front();
    }
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
  if (first_ == nullptr) load();
  return first_->shards().front()->columns().front().shape;
}

}  // namespace levin
