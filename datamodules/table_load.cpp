#include <levin/datamodules/table.h>

#include <algorithm>
#include <cfloat>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/fit_table.h>
#include <levin/datamodules/tables/fit_target.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>

// How TableDataModule reads its files, into memory and as streams.

namespace levin {
namespace {

readers::DType table_dtype(const std::string& dtype) {
  return dtype == "float64" ? readers::DType::float64 : readers::DType::float32;
}

at::ScalarType scalar_type_of(const std::string& dtype) {
  return dtype == "float64" ? at::kDouble : at::kFloat;
}

/// The largest number of the type.
double largest_of(const std::string& dtype) {
  return dtype == "float64" ? DBL_MAX : double{FLT_MAX};
}

/// A tensor of a shape that holds a copy of the numbers.
torch::Tensor copied(std::vector<double>& numbers, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(numbers.data(), shape, at::kDouble)
      .to(type, /*non_blocking=*/false,
          /*copy=*/true);
}

std::vector<double> weights_of(const tables::TextTable& table, const std::string& name,
                               double largest) {
  const size_t column = table.column(name, "weights");
  std::vector<double> weights;
  weights.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) {
    weights.push_back(tables::weight_of(table, row, column, largest));
  }
  return weights;
}

/// Adds the groups of the rows, if there are groups.
void add_groups(const tables::FittedTable& fitted, const tables::TextTable& table,
                NamedTensors& tensors) {
  if (fitted.group.empty()) return;
  tensors.emplace_back("group", at::tensor(tables::groups_of(fitted, table), at::kLong));
}

}  // namespace

void TableDataModule::load() {
  if (loaded_) return;
  fitted_ = taken_;
  auto predict = std::move(sets_.predict);
  sets_ = {};
  sets_.predict = std::move(predict);
  if (!options_.x.empty() && options_.stream) load_stream();
  if (!options_.x.empty() && !options_.stream) load_rows();
  if (!options_.x_val.empty()) sets_.val = whole_file(options_.x_val);
  if (!options_.x_test.empty()) sets_.test = whole_file(options_.x_test);
  loaded_ = true;
  is_validation_checked_ = false;
}

/// Reads the validation rows of a stream, so that a fit doesn't end at its first validation.
void TableDataModule::check_validation() {
  const auto* const val = dynamic_cast<const ShardedDataset*>(sets_.val.get());
  if (val == nullptr || is_validation_checked_) return;
  dynamic_cast<const tables::TableShard&>(*val->shards().front()).check();
  is_validation_checked_ = true;
}

/// Refuses settings that don't suit the columns of x, before its rows are divided.
void TableDataModule::check_columns(const tables::TextTable& header) const {
  if (fitted_) return;
  if (settings_.target.empty()) {
    throw ConfigError::conflict("target is empty",
                                fmt::format("name the column of {} to predict; its columns are {}",
                                            header.file(), readers::listed(header.columns())));
  }
  const tables::TableFitter fitter(header, settings_);
}

/// Reads x and divides its rows. Only the training rows are looked at before all rows are made to
/// features.
void TableDataModule::load_rows() {
  const auto read = text(options_.x);
  const auto& table = *read;
  rows_ = table.rows();
  check_columns(table);
  auto settings = settings_;
  if (fitted_) settings.target = fitted_->target;
  std::vector<int64_t> labels;
  if (options_.stratify) labels = tables::stratification_labels(table, settings);
  auto split = split_rows(rows_, row_split(), labels);
  if (!fitted_) {
    require_no_empty_set(rows_, row_split(), Stage::fit);
    std::vector<std::string> notes;
    fitted_ = tables::fit_table(table, learned_rows(split.train), settings, notes);
    for (auto& text : notes) note(std::move(text));
  }
  const auto whole = dataset(table, !options_.weights.empty());
  const auto take = [&](std::shared_ptr<const Dataset>& set, std::vector<int64_t> chosen) {
    if (!chosen.empty()) set = std::make_shared<Subset>(whole, std::move(chosen));
  };
  take(sets_.train, std::move(split.train));
  take(sets_.val, std::move(split.val));
  take(sets_.test, std::move(split.test));
}

/// The same for a stream.
void TableDataModule::load_stream() {
  const auto file = open(options_.x);
  rows_ = file->rows();
  check_columns(file->header());
  streamed_ = divided(file, row_split());
  if (!fitted_) {
    require_no_empty_set(*streamed_, row_split(), Stage::fit);
    std::vector<std::string> notes;
    fitted_ = fit_stream(streamed_->train, settings_, notes);
    for (auto& text : notes) note(std::move(text));
  }
  const bool has_weights = !options_.weights.empty();
  sets_.train = stream(streamed_->train, true, has_weights);
  sets_.val = stream(streamed_->val, true, has_weights);
  sets_.test = stream(streamed_->test, true, has_weights);
}

TableFilePointer TableDataModule::open(const std::string& path) {
  auto& file = files_[path];
  if (!file) file = std::make_shared<const tables::TableFile>(path);
  return file;
}

/// The text of a file, which is read again unless it is kept.
std::shared_ptr<const tables::TextTable> TableDataModule::text(const std::string& path) {
  const auto kept = texts_.find(path);
  if (kept != texts_.end()) return kept->second;
  auto read = std::make_shared<const tables::TextTable>(tables::TextTable::read(path));
  if (keeps_texts_) texts_.emplace(path, read);
  return read;
}

/// Rows of a file that is streamed; null if there are none.
std::shared_ptr<const Dataset> TableDataModule::stream(const tables::TableRows& rows,
                                                       bool has_target, bool has_weights) const {
  if (rows.rows() == 0) return nullptr;
  return stream_of(rows, std::make_shared<const tables::FittedTable>(*fitted_),
                   {.unknown = unknown(),
                    .dtype = table_dtype(number_type(options_.dtype)),
                    .has_target = has_target,
                    .weights = has_weights ? options_.weights : ""},
                   std::max<int64_t>(1, options_.num_workers));
}

void TableDataModule::load_for_prediction() {
  if (sets_.predict) return;
  const auto& o = options_;
  const auto& path = !o.x.empty() ? o.x : !o.x_test.empty() ? o.x_test : o.x_val;
  if (!fitted_) fitted_ = taken_;
  if (!fitted_ && !o.x.empty() && !o.target.empty()) load();
  require_fitted(path);
  if (o.stream) {
    const auto file = open(path);
    sets_.predict = stream(tables::TableRows(file), /*has_target=*/false, /*has_weights=*/false);
    return take_keys(file->header(), path);
  }
  const auto read = text(path);
  const auto& table = *read;
  NamedTensors tensors{{"input", features(table)}};
  add_groups(*fitted_, table, tensors);
  sets_.predict = std::make_shared<TensorDataset>(std::move(tensors));
  take_keys(table, path);
}

/// Finds the keys of the rows to predict for.
void TableDataModule::take_keys(const tables::TextTable& table, const std::string& path) {
  const auto& key = options_.key.empty() ? fitted_->key : options_.key;
  if (key.empty()) return;
  if (options_.key.empty() && !table.has(key)) {
    note(
        fmt::format("{} doesn't have the column {}, which was the key of the training data, so "
                    "predictions have none. Set key to name another column.",
                    table.file(), readers::in_quotes(key)));
    return;
  }
  keys_ = options_.stream ? streamed_keys(open(path), key)
                          : RowKeys{.name = key, .texts = tables::keys_of(table, key)};
}

void TableDataModule::require_fitted(const std::string& file) const {
  if (fitted_) return;
  throw ConfigError::conflict(
      fmt::format("nothing says how the columns of {} become features", file),
      "give the checkpoint of a model that was trained with TableDataModule, or the settings of "
      "its training: x and target");
}

std::shared_ptr<const Dataset> TableDataModule::whole_file(const std::string& path) {
  require_fitted(path);
  if (options_.stream) return stream(tables::TableRows(open(path)), true, /*has_weights=*/false);
  return dataset(*text(path), /*has_weights=*/false);
}

std::shared_ptr<const Dataset> TableDataModule::dataset(const tables::TextTable& table,
                                                        bool has_weights) const {
  const auto type = scalar_type_of(number_type(options_.dtype));
  const double largest = largest_of(number_type(options_.dtype));
  auto targets = tables::targets_of(*fitted_, table, largest);
  NamedTensors tensors{
      {"input", features(table)},
      {"target", copied(targets, {table.rows()}, fitted_->has_values ? type : at::kLong)}};
  if (has_weights) {
    auto weights = weights_of(table, options_.weights, largest);
    tensors.emplace_back("weight", copied(weights, {table.rows()}, type));
  }
  add_groups(*fitted_, table, tensors);
  return std::make_shared<TensorDataset>(std::move(tensors));
}

torch::Tensor TableDataModule::features(const tables::TextTable& table) const {
  auto numbers =
      tables::features_of(*fitted_, table, unknown(), largest_of(number_type(options_.dtype)));
  return copied(numbers, {table.rows(), fitted_->width()},
                scalar_type_of(number_type(options_.dtype)));
}

void TableDataModule::adapt_loader(const Dataset& set, bool is_train,
                                   DataLoaderOptions& loader) const {
  const auto* const blocks = dynamic_cast<const ShardedDataset*>(&set);
  if (blocks == nullptr) return;
  loader.sampler = blocks->sampler(
      {.shuffle = is_train && options_.shuffle, .shuffle_rows = options_.shuffle_rows});
  loader.shuffle = false;
}

/// Sums up the weights of a stream's training rows when that is asked for first.
const TableSums& TableDataModule::sums() {
  if (!sums_) sums_ = table_sums(streamed_->train, fitted(), options_.weights);
  return *sums_;
}

std::optional<double> TableDataModule::mean_weight() {
  if (!streamed_ || options_.weights.empty()) return {};
  return sums().mean_weight;
}

std::vector<double> TableDataModule::class_sums() {
  if (!streamed_) return {};
  return sums().classes;
}

}  // namespace levin
