#include <levin/framework/report/record_parts.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/first_bytes.h>
#include <levin/framework/plots/phase_plot.h>
#include <levin/framework/plots/svg.h>
#include <levin/framework/report/html_page.h>
#include <levin/framework/report/report_text.h>

namespace levin::report_parts {
namespace {

using namespace report_text;

constexpr size_t kMostSources = 20;

std::string setting_shown(const Value& value) {
  return value.is_null()     ? "null"
         : value.is_string() ? cut(value.as_string())
                             : cut(value.to_json());
}

std::string group_name(const Value& group) {
  const std::string class_name = shown(group, "class");
  return shown(group, "name") + (class_name.empty() ? "" : " " + class_name);
}

void add_fact(html::Table& table, std::string name, std::string value) {
  if (!value.empty()) table.rows.push_back({std::move(name), std::move(value)});
}

std::string command_shown(const Value& fit) {
  std::string text;
  for (const auto& word : items(fit, "command")) {
    const std::string each = word.is_string() ? word.as_string() : word.to_json();
    const bool is_plain =
        !each.empty() && each.find_first_of(" \t\n\"'\\$`*?&|;<>()") == std::string::npos;
    text += (text.empty() ? "" : " ") + (is_plain ? each : "'" + each + "'");
  }
  return text.size() > 4000 ? std::string(first_bytes(text, 4000)) + "..." : text;
}

std::string part_shown(const Value& part) {
  std::string text = shown(part, "name");
  const auto& shape = items(part, "shape");
  std::vector<std::string> sizes;
  for (const auto& size : shape) sizes.push_back(shown(size));
  if (part.contains("dtype")) {
    text += fmt::format(", {} [{}]", shown(part, "dtype"), fmt::join(sizes, ", "));
  }
  return text;
}

std::string sources_tables(const Value& data) {
  std::string out;
  size_t number = 0;
  for (const auto& source : items(data, "sources")) {
    if (number == kMostSources) break;
    html::Table table{.caption = fmt::format("Data source {}", number),
                      .header = {"part", "size", "SHA-256"},
                      .number_columns = {1}};
    const bool is_sampled = member(source, "sampled") == Value(true);
    for (const auto& part : items(source, "parts")) {
      if (table.rows.size() == kMostSources) break;
      table.rows.push_back({part_shown(part), bytes_shown(member(part, "bytes")),
                            shown(part, "sha256") + (is_sampled ? " (of samples)" : "")});
    }
    const int64_t parts = whole_number_of(member(source, "count")).value_or(0);
    table.rows.push_back({fmt::format("all of source {} ({}, {})", number, shown(source, "kind"),
                                      counted(parts, "part")),
                          "", shown(source, "sha256")});
    const std::string note = shown(source, "note");
    if (!note.empty()) table.rows.back() = {fmt::format("source {}", number), "", "none: " + note};
    out += html::table(table);
    if (is_sampled) {
      out += html::paragraph(
          fmt::format("Source {} is large, so its checksums are of samples of its bytes.", number));
    }
    ++number;
  }
  return out;
}

}  // namespace

std::string settings_part(const Value& fit) {
  const auto& groups = items(fit, "settings");
  if (groups.empty()) return {};
  html::Table changed{.caption = "Settings that differ from their defaults",
                      .header = {"setting of", "name", "value", "default"}};
  std::string all;
  size_t count = 0;
  bool knows_defaults = false;
  for (const auto& group : groups) {
    html::Table table{.caption = "Settings of " + group_name(group), .header = {"name", "value"}};
    for (const auto& setting : items(group, "settings")) {
      const std::string value = setting_shown(member(setting, "value"));
      if (setting.contains("default")) {
        knows_defaults = true;
        if (changed.rows.size() < kMostRows) {
          changed.rows.push_back({group_name(group), shown(setting, "name"), value,
                                  setting_shown(setting.at("default"))});
        }
      }
      if (++count <= 5 * kMostRows) table.rows.push_back({shown(setting, "name"), value});
    }
    if (table.rows.empty()) continue;
    all += fmt::format("<h3>{}</h3>\n", svg::escaped(group_name(group))) + html::table(table);
  }
  std::string out = html::heading("Settings", "settings");
  if (knows_defaults) {
    out += html::paragraph("These differ from their defaults:") + html::table(changed);
  }
  return out + html::folded(fmt::format("All {}", counted(count, "setting")), all);
}

std::string environment_part(const Value& fit) {
  if (fit.is_null()) return {};
  const Value& levin = member(fit, "levin");
  const Value& host = member(fit, "host");
  html::Table table{.caption = "What made the run", .header = {"fact", "value"}};
  add_fact(table, "command", command_shown(fit));
  add_fact(table, "started", time_shown(member(fit, "started")));
  add_fact(table, "ended", time_shown(member(fit, "ended")));
  add_fact(table, "seed", shown(fit, "seed"));
  add_fact(table, "commit of the folder", commit_shown(member(fit, "git")));
  add_fact(table, "Levin", shown(levin, "version"));
  add_fact(table, "commit of Levin", commit_shown(levin));
  add_fact(table, "compiler of Levin", shown(levin, "compiler"));
  add_fact(table, "LibTorch", shown(fit, "libtorch"));
  add_fact(table, "system", shown(host, "system"));
  add_fact(table, "processor", shown(host, "processor"));
  add_fact(table, "cores", shown(host, "cores"));
  add_fact(table, "memory", bytes_shown(member(host, "memory")));
  std::vector<std::string> gpus;
  for (const auto& gpu : items(host, "gpus")) gpus.push_back(shown(gpu));
  add_fact(table, "GPUs", cut(fmt::format("{}", fmt::join(gpus, ", "))));
  add_fact(table, "device of rank 0", shown(fit, "device"));
  add_fact(table, "ranks", shown(fit, "ranks"));
  add_fact(table, "hosts", shown(fit, "nodes"));
  return table.rows.empty() ? "" : html::heading("Environment", "environment") + html::table(table);
}

std::string data_part(const Value& fit) {
  const Value& data = member(fit, "data");
  if (items(data, "sets").empty()) return {};
  html::Table sets{.caption = "Sets of rows",
                   .header = {"set", "rows", "source", "SHA-256 of the numbers of the rows"},
                   .number_columns = {1, 2}};
  for (const auto& set : items(data, "sets")) {
    if (sets.rows.size() == kMostRows) break;
    const std::string rows = shown(set, "rows_sha256");
    sets.rows.push_back({shown(set, "name"), count_shown(member(set, "rows")), shown(set, "source"),
                         rows.empty() ? "all rows of the source" : rows});
  }
  return html::heading("Data", "data") + html::table(sets) + sources_tables(data);
}

std::string model_part(const Value& fit) {
  const Value& model = member(fit, "model");
  if (!member(model, "parameters").is_int()) return {};
  std::string out = html::heading("Model", "model");
  out += html::paragraph(
      fmt::format("{}: {} parameters, {} of them trained, {}.", shown(model, "class"),
                  count_shown(member(model, "parameters")), count_shown(member(model, "trainable")),
                  bytes_shown(member(model, "bytes"))));
  html::Table table{.caption = "Layers of the model",
                    .header = {"layer", "type", "parameters", "trained", "input", "output"},
                    .number_columns = {2}};
  for (const auto& layer : items(model, "layers")) {
    if (table.rows.size() == kMostRows) break;
    table.rows.push_back({shown(layer, "name"), shown(layer, "type"),
                          count_shown(member(layer, "parameters")), shown(layer, "trainable"),
                          shown(layer, "in"), shown(layer, "out")});
  }
  if (table.rows.empty()) return out;
  const auto shown_layers = static_cast<int64_t>(table.rows.size());
  const int64_t all = whole_number_of(member(model, "num_layers")).value_or(shown_layers);
  out += html::table(table);
  if (all > shown_layers) {
    out += html::paragraph(fmt::format("The model has {} in all.", counted(all, "layer")));
  }
  return out;
}

std::string time_part(const Value& fit) {
  const Value& profile = member(fit, "profile");
  const auto total = number_of(member(profile, "seconds"));
  if (!total || *total <= 0.0) return {};
  html::Table table{.caption = "Where the time of rank 0 went",
                    .header = {"part", "calls", "seconds", "share"},
                    .number_columns = {1, 2, 3}};
  std::vector<std::pair<double, const Value*>> parts;
  for (const auto& part : items(profile, "parts")) {
    parts.emplace_back(-number_of(member(part, "seconds")).value_or(0.0), &part);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::pair<std::string, double>> phases;
  for (const auto& [seconds, part] : parts) {
    phases.emplace_back(shown(*part, "name"), -seconds);
    const auto calls = number_of(member(*part, "calls")).value_or(0.0);
    table.rows.push_back(
        {shown(*part, "name"), calls > 0 ? count_shown(member(*part, "calls")) : std::string(),
         fmt::format("{:.3f}", -seconds), fmt::format("{:.1f} %", -seconds / *total * 100.0)});
  }
  const std::string title = "Time of rank 0";
  return html::heading("Time", "time") +
         html::scroll_box(title, draw_phases(title, phases, /*with_style=*/false)) +
         html::table(table);
}

}  // namespace levin::report_parts
