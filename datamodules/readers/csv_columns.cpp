#include <levin/datamodules/readers/csv_columns.h>

#include <algorithm>
#include <system_error>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

/// The column of that name; empty if there is none. Throws DataError if there are several.
std::optional<size_t> find_named(const CsvLayout& in, const std::string& name,
                                 const CsvLayout& other) {
  const auto count = std::count(in.names.begin(), in.names.end(), name);
  if (count > 1) {
    throw DataError(in.file + ": " + std::to_string(count) + " columns have the name " +
                    in_quotes(name) + ", so they can't be matched with the columns of " +
                    other.file +
                    ", which are in another order; give each column a name of its own");
  }
  const auto found = std::find(in.names.begin(), in.names.end(), name);
  if (found == in.names.end()) return {};
  return static_cast<size_t>(found - in.names.begin());
}

[[noreturn]] void fail_missing(const CsvLayout& file, const CsvLayout& first,
                               const std::vector<std::string>& missing) {
  throw DataError(file.file + " has no column " + listed(missing) + ", but " + first.file +
                  " has; its columns are " + listed(file.names) +
                  ". Columns are matched by their names: add the missing ones, or give them the "
                  "same names in both files.");
}

[[noreturn]] void fail_extra(const CsvLayout& file, const CsvLayout& first,
                             const std::vector<std::string>& extra) {
  throw DataError(file.file + " has the column " + listed(extra) + ", which " + first.file +
                  " doesn't have; its columns are " + listed(first.names) +
                  ". Remove it, or set ignore_extra_columns = true.");
}

}  // namespace

bool same_columns(const std::optional<CsvLayout>& a, const std::optional<CsvLayout>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->names == b->names && a->target == b->target;
}

Value to_value(const CsvLayout& layout) {
  Value value;
  value["file"] = layout.file;
  value["names"] = Value::Array(layout.names.begin(), layout.names.end());
  value["target"] = nullptr;
  if (layout.target) value["target"] = static_cast<int64_t>(*layout.target);
  return value;
}

CsvLayout layout_from(const Value& value) {
  CsvLayout layout;
  layout.file = value.at("file").as_string();
  for (const auto& name : value.at("names").as_array()) layout.names.push_back(name.as_string());
  if (value.at("target").is_null()) return layout;
  const int64_t target = value.at("target").as_int();
  if (target < 0 || static_cast<size_t>(target) >= layout.names.size()) {
    throw CheckpointError("the target is column " + std::to_string(target) + " of " +
                          std::to_string(layout.names.size()));
  }
  layout.target = static_cast<size_t>(target);
  return layout;
}

ColumnPlaces places_in_order(const std::vector<std::string>& columns,
                             std::optional<size_t> target) {
  ColumnPlaces result;
  result.target = target;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i == target) {
      result.places.push_back(ColumnPlaces::kTarget);
    } else {
      result.places.push_back(static_cast<int64_t>(result.features.size()));
      result.features.push_back(columns[i]);
    }
  }
  return result;
}

ColumnPlaces places_by_name(const CsvLayout& file, const CsvLayout& first, bool ignore_extra,
                            bool target_optional) {
  if (file.names == first.names) return places_in_order(file.names, first.target);
  if (file.is_target_alone() && first.is_target_alone()) {
    return places_in_order(file.names, file.target);
  }
  ColumnPlaces result;
  result.places.assign(file.names.size(), ColumnPlaces::kUnused);
  std::vector<std::string> missing;
  for (size_t i = 0; i < first.names.size(); ++i) {
    const std::string& name = first.names[i];
    find_named(first, name, file);
    const auto found = find_named(file, name, first);
    const bool is_target = i == first.target;
    if (!found && !(is_target && target_optional)) missing.push_back(name);
    if (!is_target) result.features.push_back(name);
    if (!found) continue;
    if (is_target) result.target = found;
    result.places[*found] =
        is_target ? ColumnPlaces::kTarget : static_cast<int64_t>(result.features.size()) - 1;
  }
  if (!missing.empty()) fail_missing(file, first, missing);
  std::vector<std::string> extra;
  for (size_t i = 0; i < file.names.size(); ++i) {
    if (result.places[i] == ColumnPlaces::kUnused) extra.push_back(file.names[i]);
  }
  if (!extra.empty() && !ignore_extra) fail_extra(file, first, extra);
  return result;
}

void require_same_order(const CsvLayout& file, const CsvLayout& first) {
  if (file.names.empty() || first.names.empty()) return;
  const auto own = places_in_order(file.names, file.target).features;
  const auto expected = places_in_order(first.names, first.target).features;
  const bool same_target =
      !file.target || !first.target || file.names[*file.target] == first.names[*first.target];
  if (own == expected && same_target) return;
  throw DataError("the columns of " + file.file + " are " + listed(file.names) + ", but those of " +
                  first.file + " are " + listed(first.names) +
                  "; .lvb files are read as they lie, so make it again with levin convert --like " +
                  first.file);
}

DataError no_features(const std::string& file) {
  return DataError(file +
                   " has only one column, the target; add at least one column of features, or set "
                   "target_column = none. Cells must be separated by commas, semicolons or tabs.");
}

std::string taken_in_order(const std::vector<std::string>& files, const CsvLayout& first) {
  const bool has_names = !first.names.empty();
  std::string named = files.front();  // in full: a path may be longer than what in_quotes shows
  if (files.size() > 1) named += " and " + counted(files.size() - 1, "more file");
  return named + (files.size() == 1 ? " has" : " have") +
         (has_names ? " no header, but " + first.file + " has one"
                    : " a header, but " + first.file + " has none") +
         ". The columns are taken to be in the same order; set header if one of the files was "
         "misread.";
}

bool is_column_number(const std::string& name) { return number_in<int64_t>(name).has_value(); }

std::string listed(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) {
    text += (i > 0 ? ", " : "") + in_quotes(names[i]);
  }
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

}  // namespace levin::readers
