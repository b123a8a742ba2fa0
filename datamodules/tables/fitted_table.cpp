#include <levin/datamodules/tables/fitted_table.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using Kind = FittedColumn::Kind;

constexpr std::pair<std::string_view, Kind> kKindNames[] = {
    {"number", Kind::number}, {"one_hot", Kind::one_hot}, {"hashed", Kind::hashed}};

Value list_of_texts(const std::vector<std::string>& texts) {
  return Value::Array(texts.begin(), texts.end());
}

std::vector<std::string> texts_in(const Value& value) {
  std::vector<std::string> texts;
  for (const auto& text : value.as_array()) texts.push_back(text.as_string());
  return texts;
}

Value column_value(const FittedColumn& column) {
  Value value;
  value["name"] = column.name;
  for (const auto& [name, kind] : kKindNames) {
    if (column.kind == kind) value["kind"] = name;
  }
  if (column.kind == Kind::number) {
    value["mean"] = column.mean;
    value["scale"] = column.scale;
    value["fill"] = column.fill ? Value(*column.fill) : Value();
    value["has_indicator"] = column.has_indicator;
    return value;
  }
  value["fill"] = column.fill_text ? Value(*column.fill_text) : Value();
  value["missing_is_value"] = column.missing_is_value;
  value["missing_is_refused"] = column.missing_is_refused;
  if (column.kind == Kind::hashed) {
    value["hash_columns"] = column.hash_columns;
    return value;
  }
  value["values"] = list_of_texts(column.values);
  value["has_unknown"] = column.has_unknown;
  return value;
}

FittedColumn column_from(const Value& value) {
  FittedColumn column;
  column.name = value.at("name").as_string();
  const auto& word = value.at("kind").as_string();
  const auto kind = std::find_if(std::begin(kKindNames), std::end(kKindNames),
                                 [&](const auto& each) { return each.first == word; });
  const auto require = [&](bool holds, std::string_view problem) {
    if (!holds)
      throw CheckpointError(fmt::format("the table's column {}: {}", column.name, problem));
  };
  require(kind != std::end(kKindNames), "its kind is unknown");
  column.kind = kind->second;
  const Value& fill = value.at("fill");
  if (column.kind == Kind::number) {
    column.mean = value.at("mean").as_double();
    column.scale = value.at("scale").as_double();
    if (!fill.is_null()) column.fill = fill.as_double();
    column.has_indicator = value.at("has_indicator").as_bool();
    require(std::isfinite(column.mean) && std::isfinite(column.scale) && column.scale > 0.0,
            "the mean must be finite, and the scale above 0");
    return column;
  }
  if (!fill.is_null()) column.fill_text = fill.as_string();
  column.missing_is_value = value.at("missing_is_value").as_bool();
  column.missing_is_refused = value.at("missing_is_refused").as_bool();
  if (column.kind == Kind::hashed) {
    column.hash_columns = value.at("hash_columns").as_int();
    require(column.hash_columns > 0, "hash_columns must be at least 1");
    return column;
  }
  column.values = texts_in(value.at("values"));
  require(std::is_sorted(column.values.begin(), column.values.end()), "its values aren't sorted");
  column.has_unknown = value.at("has_unknown").as_bool();
  return column;
}

}  // namespace

int64_t FittedColumn::width() const {
  if (kind == Kind::number) return has_indicator ? 2 : 1;
  if (kind == Kind::hashed) return hash_columns;
  return std::ssize(values) + (missing_is_value ? 1 : 0) + (has_unknown ? 1 : 0);
}

int64_t FittedTable::width() const {
  int64_t sum = 0;
  for (const auto& column : columns) sum += column.width();
  return sum;
}

std::vector<std::string> FittedTable::feature_names() const {
  std::vector<std::string> names;
  for (const auto& column : columns) {
    if (column.kind == Kind::number) names.push_back(column.name);
    for (const auto& value : column.values) names.push_back(column.name + "=" + value);
    for (int64_t i = 0; i < column.hash_columns; ++i) {
      names.push_back(fmt::format("{}#{}", column.name, i));
    }
    const bool is_hashed = column.kind == Kind::hashed;
    if (column.has_indicator || (column.missing_is_value && !is_hashed)) {
      names.push_back(column.name + " missing");
    }
    if (column.has_unknown) names.push_back(column.name + " unknown");
  }
  return names;
}

bool FittedTable::is_missing(std::string_view cell) const {
  return std::find(missing_values.begin(), missing_values.end(), cell) != missing_values.end();
}

Value to_value(const FittedTable& table) {
  Value value;
  Value::Array columns;
  for (const auto& column : table.columns) columns.push_back(column_value(column));
  value["columns"] = std::move(columns);
  value["missing_values"] = list_of_texts(table.missing_values);
  value["unknown"] = unknown_word(table.unknown);
  value["target"] = table.target;
  value["key"] = table.key;
  value["target_type"] = table.has_values ? "value" : "class";
  value["class_names"] = list_of_texts(table.class_names);
  if (table.group.empty()) return value;
  value["group"] = table.group;
  value["group_names"] = list_of_texts(table.group_names);
  return value;
}

FittedTable fitted_table_from(const Value& value) {
  FittedTable table;
  for (const auto& column : value.at("columns").as_array()) {
    table.columns.push_back(column_from(column));
  }
  table.missing_values = texts_in(value.at("missing_values"));
  table.unknown = parse_unknown_rule(value.at("unknown").as_string());
  table.target = value.at("target").as_string();
  table.key = value.at("key").as_string();
  table.has_values = value.at("target_type").as_string() == "value";
  table.class_names = texts_in(value.at("class_names"));
  if (!value.contains("group")) return table;
  table.group = value.at("group").as_string();
  table.group_names = texts_in(value.at("group_names"));
  return table;
}

}  // namespace levin::tables
