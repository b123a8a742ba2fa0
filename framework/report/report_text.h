#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <levin/framework/core/value.h>

/// How a report writes the values of a record (run.json), which may lack any of them or have one of
/// another type.
namespace levin::report_text {

/// The most rows that a table has.
inline constexpr size_t kMostRows = 200;

/// The member of that name, or null.
const Value& member(const Value& value, std::string_view name);
/// The list of that name; empty if it is anything else.
const Value::Array& items(const Value& value, std::string_view name);
/// The number, if it is one.
std::optional<double> number_of(const Value& value);
std::optional<int64_t> whole_number_of(const Value& value);

/// The text, without its end if it is long.
std::string cut(std::string text);
/// A value as a reader expects it, "yes" for true; empty for null.
std::string shown(const Value& value);
std::string shown(const Value& value, std::string_view name);
/// A whole number with commas between thousands; empty for other values.
std::string count_shown(const Value& value);
/// "1.25 MB"; empty for what isn't a number above 0.
std::string bytes_shown(double bytes);
std::string bytes_shown(const Value& value);
/// Seconds since 1970 as "2026-11-29 14:01:13 UTC"; empty for other values.
std::string time_shown(const Value& value);
/// The time between the start and the end of a fit; empty if one of them is missing.
std::string duration_shown(const Value& fit);
/// A commit and whether files differ from it; empty if there is none.
std::string commit_shown(const Value& state);

}  // namespace levin::report_text
