#include <levin/datamodules/tables/fit_table.h>

#include <algorithm>
#include <cfloat>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tables/apply_table.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

/// From more classes than these on, whole numbers may be values.
constexpr size_t kManyClasses = 100;

void require_settings(const TableSettings& settings) {
  if (settings.hash_columns < 1) {
    throw ConfigError::invalid_value("hash_columns", std::to_string(settings.hash_columns),
                                     "must be at least 1");
  }
  if (settings.min_count < 1) {
    throw ConfigError::invalid_value("min_count", std::to_string(settings.min_count),
                                     "must be at least 1");
  }
  if (settings.min_count == 1 || settings.unknown != UnknownRule::refuse) return;
  throw ConfigError::conflict(
      fmt::format("min_count = {} leaves rare values out, but unknown = refuse refuses them",
                  settings.min_count),
      "set unknown = ignore, or unknown = column to give them a column of their own");
}

}  // namespace

TableFitter::TableFitter(const TextTable& header, TableSettings settings, size_t most_kept)
    : file_(header.file()),
      settings_(std::move(settings)),
      fitted_{.missing_values = settings_.missing_values,
              .unknown = settings_.unknown,
              .target = settings_.target,
              .key = settings_.key} {
  require_settings(settings_);
  if (!settings_.target.empty()) target_.emplace(header, settings_, most_kept);
  if (!settings_.group.empty()) groups_.emplace(header, settings_, most_kept);
  if (!settings_.weights.empty()) weights_ = header.column(settings_.weights, "weights");
  for (const auto& chosen : choose_columns(header, settings_)) {
    columns_.emplace_back(ColumnTask{.chosen = chosen,
                                     .file = file_,
                                     .name = header.columns()[chosen.column],
                                     .most_kept = most_kept},
                          settings_);
    numbers_.push_back(chosen.column);
    is_open_.push_back(true);
  }
}

void TableFitter::add(const TextTable& table, int64_t row) {
  if (is_first_pass_ && target_) target_->add(table, row);
  if (is_first_pass_ && groups_) groups_->add(table, row);
  if (is_first_pass_ && weights_) weight_of(table, row, *weights_, DBL_MAX);  // checks it
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!is_open_[i]) continue;
    columns_[i].add(table, row, fitted_.is_missing(table.cell(row, numbers_[i])));
  }
}

bool TableFitter::end_pass() {
  is_first_pass_ = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    is_open_[i] = is_open_[i] && columns_[i].end_pass();
  }
  return std::count(is_open_.begin(), is_open_.end(), true) > 0;
}

FittedTable TableFitter::finish(std::vector<std::string>& notes) {
  if (target_) target_->finish(fitted_);
  if (groups_) groups_->finish(fitted_);
  if (settings_.target_type == readers::TargetType::automatic &&
      fitted_.class_names.size() > kManyClasses) {
    notes.push_back(fmt::format(
        "{}: the targets in the column {} are taken for {} classes; if they are values, set "
        "target_type = value.",
        file_, readers::in_quotes(fitted_.target), fitted_.class_names.size()));
  }
  for (auto& column : columns_) fitted_.columns.push_back(column.finish(notes));
  return std::move(fitted_);
}

FittedTable fit_table(const TextTable& table, std::span<const int64_t> rows,
                      const TableSettings& settings, std::vector<std::string>& notes) {
  std::vector<int64_t> in_order(rows.begin(), rows.end());
  std::sort(in_order.begin(), in_order.end());
  TableFitter fitter(table, settings);
  do {
    for (const int64_t row : in_order) fitter.add(table, row);
  } while (fitter.end_pass());
  return fitter.finish(notes);
}

}  // namespace levin::tables
