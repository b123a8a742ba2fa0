#include <levin/datamodules/array.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/datamodules/file_arrays.h>
#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

// The columns of CSV files that ArrayDataModule takes out of the features: several targets, and the
// group of each row.

namespace levin {
namespace {

/// The place of a column among the features, of which there are `features`; nothing if the file
/// has no column of that name.
std::optional<int64_t> feature_place(const readers::CsvLayout& layout, const std::string& column,
                                     int64_t features) {
  const int64_t all = features + (layout.target ? 1 : 0);
  const auto target = layout.target ? static_cast<int64_t>(*layout.target) : all;
  const auto named = std::find(layout.names.begin(), layout.names.end(), column);
  int64_t place = named - layout.names.begin();
  if (named == layout.names.end()) {
    if (!readers::is_column_number(column)) return {};
    place = std::stoll(column);
    if (place < 0) place += all;
    if (place < 0 || place >= all) return {};
  }
  if (place == target) return {};
  return place > target ? place - 1 : place;
}

/// The groups of rows, from a column of numbers.
torch::Tensor checked_groups(const torch::Tensor& column, const std::string& file,
                             const std::string& name) {
  const auto groups = column.to(at::kLong);
  const auto is_none = groups.lt(0).logical_or(groups.to(column.scalar_type()).ne(column));
  if (!is_none.any().item<bool>()) return groups.contiguous();
  const auto row = is_none.nonzero()[0].item<int64_t>();
  throw DataError::bad_value(
      "the group", fmt::format("{}", column[row].item<double>()),
      fmt::format("{}, row {}, column {}", file, row, readers::in_quotes(name)),
      "groups are whole numbers from 0; number them in the file");
}

}  // namespace

void ArrayDataModule::check_chosen_columns() const {
  const auto& o = options_;
  if (!has_chosen_columns()) return;
  if (!o.target_columns.empty() && o.target_column != "-1") {
    throw ConfigError::conflict("both target_column and target_columns",
                                "name all targets in target_columns");
  }
  for (const auto* y : {&o.y, &o.y_val, &o.y_test}) {
    if (o.target_columns.empty() || y->empty()) continue;
    throw ConfigError::conflict(
        fmt::format("both target_columns and the file of targets {}", *y),
        "target_columns are columns of the files of features; leave one of them out");
  }
  const auto& targets = o.target_columns;
  if (o.group_column.empty() ||
      std::find(targets.begin(), targets.end(), o.group_column) == targets.end()) {
    return;
  }
  throw ConfigError::conflict(
      fmt::format("group_column = {0}, which is among target_columns", o.group_column),
      "a column has one of these roles");
}

/// Takes the targets and the groups out of the features that were read.
void ArrayDataModule::take_columns(FileArrays& read, Arrays& arrays, const std::string& file,
                                   bool may_lack_targets) const {
  // Columns of a later file are in the order of the first one's.
  const auto& first = fitted_.layout ? fitted_.layout : taken_.layout;
  const auto& layout = first && !first->names.empty() && !may_lack_targets ? first : read.layout;
  if (!layout || read.x.dim() != 2) {
    throw ConfigError::conflict(fmt::format("target_columns or group_column for {}", file),
                                "they are columns of CSV files; leave them out for others");
  }
  const int64_t features = read.x.size(1);
  std::vector<int64_t> rest(static_cast<size_t>(features));
  for (int64_t i = 0; i < features; ++i) rest[static_cast<size_t>(i)] = i;
  const auto take = [&](const std::string& column, const char* option) -> torch::Tensor {
    const auto place = feature_place(*layout, column, features);
    if (!place) {
      throw ConfigError::invalid_value(
          option, column,
          fmt::format("is no column of {} besides the target{}{}", file,
                      layout->names.empty() ? "" : "; its columns are ",
                      layout->names.empty() ? "" : readers::listed(layout->names)));
    }
    rest.erase(std::remove(rest.begin(), rest.end(), *place), rest.end());
    return read.x.select(1, *place);
  };
  std::vector<torch::Tensor> targets;
  for (const auto& column : options_.target_columns) {
    if (may_lack_targets && !feature_place(*layout, column, features)) continue;
    targets.push_back(take(column, "target_columns"));
  }
  if (!options_.group_column.empty()) {
    arrays.group =
        checked_groups(take(options_.group_column, "group_column"), file, options_.group_column);
  }
  if (!targets.empty()) read.y = at::stack(targets, 1);
  read.x = read.x.index_select(1, at::tensor(rest, at::kLong));
}

/// Reads the features, and the groups, of a file to predict for.
ArrayDataModule::Arrays ArrayDataModule::read_prediction(const std::string& path,
                                                         bool has_own_targets,
                                                         const std::string& name) {
  const auto& o = options_;
  const bool has_several = !o.target_columns.empty();
  auto like = taken_.layout;
  if (like) {
    const auto is_target = [&](const std::string& column) {
      return std::find(o.target_columns.begin(), o.target_columns.end(), column) !=
             o.target_columns.end();
    };
    like->names.erase(std::remove_if(like->names.begin(), like->names.end(), is_target),
                      like->names.end());
  }
  auto read =
      read_arrays({.x = path,
                   .target_column = has_own_targets || has_several ? "none" : o.target_column,
                   .header = readers::parse_csv_header(o.header),
                   .like = like,
                   .ignore_extra_columns = o.ignore_extra_columns || (has_several && like),
                   .x_name = name,
                   .may_be_plain = path != o.x,
                   .target_optional = true,
                   .skip_target = true});
  for (auto& text : read.notes) note(std::move(text));
  Arrays arrays;
  if (has_chosen_columns()) {
    if (like && !like->names.empty()) read.layout = like;  // the order of the columns now
    take_columns(read, arrays, path, /*may_lack_targets=*/true);
  }
  arrays.x = read.x;
  return arrays;
}

}  // namespace levin
