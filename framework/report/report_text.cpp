#include <levin/framework/report/report_text.h>

#include <array>
#include <cmath>
#include <ctime>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/first_bytes.h>

namespace levin::report_text {
namespace {

constexpr size_t kLongestText = 200;

std::string grouped_digits(int64_t number) {
  std::string text = fmt::to_string(number);
  for (auto i = std::ssize(text) - 3; i > (number < 0 ? 1 : 0); i -= 3) {
    text.insert(static_cast<size_t>(i), 1, ',');
  }
  return text;
}

std::string seconds_shown(double seconds) {
  if (seconds < 60.0) return in_seconds(seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  return fmt::format("{}:{:02}:{:02} h", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

const Value& member(const Value& value, std::string_view name) {
  static const Value kNull;
  return value.contains(name) ? value.at(name) : kNull;
}

const Value::Array& items(const Value& value, std::string_view name) {
  static const Value::Array kNone;
  const Value& found = member(value, name);
  return found.is_array() ? found.as_array() : kNone;
}

std::string cut(std::string text) {
  if (text.size() <= kLongestText) return text;
  return std::string(first_bytes(text, kLongestText)) + "...";
}

std::string shown(const Value& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return cut(value.as_string());
  if (value.is_bool()) return value.as_bool() ? "yes" : "no";
  if (value.is_int()) return fmt::format("{}", value.as_int());
  if (value.is_double()) return fmt::format("{:g}", value.as_double());
  return cut(value.to_json());
}

std::string shown(const Value& value, std::string_view name) { return shown(member(value, name)); }

std::string count_shown(const Value& value) {
  return value.is_int() ? grouped_digits(value.as_int()) : std::string();
}

std::string bytes_shown(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"bytes", "KB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} {}", bytes, kUnits[0])
                   : fmt::format("{:.3g} {}", bytes, kUnits[unit]);
}

std::string bytes_shown(const Value& value) {
  return value.is_int() && value.as_int() > 0 ? bytes_shown(static_cast<double>(value.as_int()))
                                              : std::string();
}

std::optional<int64_t> whole_number_of(const Value& value) {
  if (!value.is_int()) return std::nullopt;
  return value.as_int();
}

std::optional<double> number_of(const Value& value) {
  if (value.is_int() || value.is_double()) return value.as_double();
  return std::nullopt;
}

std::string time_shown(const Value& value) {
  const auto seconds = number_of(value);
  if (!seconds || !(std::abs(*seconds) < 1e11)) return {};
  const auto time = static_cast<std::time_t>(*seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

std::string duration_shown(const Value& fit) {
  const auto from = number_of(member(fit, "started"));
  const auto to = number_of(member(fit, "ended"));
  return from && to && *to >= *from ? seconds_shown(*to - *from) : std::string();
}

std::string commit_shown(const Value& state) {
  if (!member(state, "commit").is_string()) return {};
  return member(state, "commit").as_string() +
         (member(state, "changed") == Value(true) ? ", with changes since" : "");
}

}  // namespace levin::report_text
