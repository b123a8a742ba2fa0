#include <levin/callbacks/checkpoint_name.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <levin/callbacks/checkpoint_name_check.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

bool is_whole(std::string_view metric) { return metric == "epoch" || metric == "step"; }

constexpr size_t kMostBytesOfNumber = 60;

/// Formats `value` by Python's format `spec`. As in Python, formats of floating-point numbers also
/// apply to integers.
template <class T>
std::string format_number(T value, const std::string& spec) {
  const auto format = "{:" + spec + "}";
  if (!spec.empty() && std::string_view("eEfFgG").find(spec.back()) != std::string_view::npos) {
    return fmt::format(fmt::runtime(format), static_cast<double>(value));
  }
  return fmt::format(fmt::runtime(format), value);
}

/// Returns a text as part of a file name. A metric's name like "val/loss", or a number that is
/// filled up by slashes (`{loss:/>9.2f}`), must not lead to a folder.
std::string file_part(std::string text) {
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

}  // namespace

CheckpointName::CheckpointName(std::string_view pattern, bool insert_names)
    : insert_names_(insert_names) {
  std::string_view rest = pattern;
  while (!rest.empty()) {
    const size_t open = rest.find('{');
    Part part{.text = std::string(rest.substr(0, open)), .metric = {}, .spec = {}};
    rest.remove_prefix(std::min(open, rest.size()));
    if (!rest.empty()) {
      const size_t close = rest.find('}');
      if (close == std::string_view::npos)
        refuse_checkpoint_name(
            pattern, "there is a { without a }; write placeholders like {epoch} or {val_loss:.2f}");
      const auto inside = rest.substr(1, close - 1);
      const size_t colon = inside.find(':');
      part.metric = inside.substr(0, colon);
      if (colon != std::string_view::npos) part.spec = inside.substr(colon + 1);
      if (part.metric.empty())
        refuse_checkpoint_name(
            pattern, "a placeholder {} is empty; write the name of a metric, epoch or step in it");
      check_width_of_number(pattern, part.spec);
      rest.remove_prefix(close + 1);
    }
    if (part.text.find('}') != std::string::npos)
      refuse_checkpoint_name(
          pattern, "there is a } without a {; write placeholders like {epoch} or {val_loss:.2f}");
    parts_.push_back(std::move(part));
  }

  try {
    check_checkpoint_name(pattern, format(0, 0, {}));
  } catch (const fmt::format_error& error) {
    refuse_checkpoint_name(
        pattern, fmt::format("{}; write number formats like {{epoch:03d}} or {{val_loss:.2f}}",
                             error.what()));
  }
}

std::string CheckpointName::format(int64_t epoch, int64_t step, const MetricMap& metrics) const {
  std::string name;
  for (const auto& part : parts_) {
    name += part.text;
    if (part.metric.empty()) continue;
    if (insert_names_) name += file_part(part.metric) + "=";
    if (is_whole(part.metric)) {
      name += file_part(format_number(part.metric == "epoch" ? epoch : step, part.spec));
      continue;
    }
    const auto found = metrics.find(part.metric);
    constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
    const double value = found == metrics.end() ? kMissing : found->second;
    const std::string text = file_part(format_number(value, part.spec));
    name += text.size() > kMostBytesOfNumber && std::abs(value) > 1e20
                ? fmt::format("{:.6g}", value)
                : text;
  }
  return name;
}

std::vector<std::string> CheckpointName::missing(const MetricMap& metrics) const {
  std::vector<std::string> names;
  for (const auto& part : parts_) {
    const bool is_known =
        part.metric.empty() || is_whole(part.metric) || metrics.contains(part.metric);
    if (!is_known) names.push_back(part.metric);
  }
  return names;
}

}  // namespace levin
