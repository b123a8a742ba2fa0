#include <levin/cli/past_runs.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/cli/exit_status.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/output.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/aligned_rows.h>
#include <levin/framework/core/class_list.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/flat_settings.h>
#include <levin/framework/core/home.h>
#include <levin/framework/plots/metrics_csv.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNothing = "-";
constexpr size_t kMostMetrics = 4;
constexpr size_t kLongestSetting = 40;
constexpr std::array<std::string_view, 18> kLowIsGood = {
    "loss",     "error",     "mse",   "rmse",    "mae",       "mape",
    "msle",     "nll",       "brier", "ece",     "wer",       "perplexity",
    "deviance", "objective", "bytes", "seconds", "staleness", "late"};
/// Settings that say where a run is and not how it trained.
const std::set<std::string> kPlaces = {"trainer.default_root_dir", "ckpt_path"};

/// Does what `read` does; if a file can't be read, prints why, and the run is shown without it.
void try_to_read(const fs::path& file, const std::function<void()>& read) {
  if (!files::exists(file)) return;
  try {
    read();
  } catch (const Error& error) {
    diagnostics::print(
        fmt::format("warning: {} is left out: {}\n", file.string(), shortened(error.what())));
  }
}

int64_t time_of(const fs::path& file) {
  struct ::stat status {};
  return ::stat(file.c_str(), &status) == 0 ? static_cast<int64_t>(status.st_mtime) : 0;
}

std::string class_at(const Value& settings, std::string_view part) {
  if (!settings.contains(part) || !settings.at(part).contains("class_path")) return {};
  const Value& path = settings.at(part).at("class_path");
  return path.is_string() ? std::string(short_class_name(path.as_string())) : std::string();
}

/// "model/init_args/units" of config.yaml and "model/units" of hparams.yaml as "model.units".
std::string setting_name(const std::string& path) {
  std::string name;
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string key = path.substr(start, end - start);
    if (key != "init_args" && key != "class_path") name += (name.empty() ? "" : ".") + key;
    start = end + 1;
  }
  return name == "seed_everything" ? "seed" : name;
}

/// Replaces a list of classes by an object that has the settings of each under the name of its
/// class, so that the settings can be compared one by one. A second one of a class gets a number,
/// as "Timer[2]". Returns the names of the classes, "[Timer,Bar]".
std::string name_items(Value& list) {
  std::vector<std::string> names;
  Value::Object items;
  for (const Value& item : list.as_array()) {
    if (!item.contains("class_path") || !item.at("class_path").is_string()) continue;
    names.emplace_back(short_class_name(item.at("class_path").as_string()));
    const auto number = std::count(names.begin(), names.end(), names.back());
    const auto settings = item.contains("init_args") ? item.at("init_args") : Value();
    items.insert_or_assign(number == 1 ? names.back() : fmt::format("{}[{}]", names.back(), number),
                           settings.is_null() ? Value(Value::Object{}) : settings);
  }
  list = std::move(items);
  return fmt::format("[{}]", fmt::join(names, ","));
}

void read_past_settings(PastRun& run, const fs::path& file) {
  Value settings = read_yaml(file).plain();
  for (const char* list : {"callbacks", "logger"}) {
    if (!settings.contains("trainer") || !settings.at("trainer").contains(list)) continue;
    Value& items = settings["trainer"][list];
    if (items.is_array()) run.settings[fmt::format("trainer.{}", list)] = name_items(items);
  }
  run.model = class_at(settings, "model");
  run.data = class_at(settings, "data");
  for (const auto& [path, value] : flat_settings(settings)) {
    const std::string name = setting_name(path);
    if (kPlaces.count(name) == 0 && name != "model" && name != "data") run.settings[name] = value;
  }
}

void read_best(PastRun& run, const fs::path& file) {
  const std::string csv = files::read_text(file);
  for (const auto& name : metric_names(csv)) {
    run.metrics.insert(name);
    const Curve curve = read_whole_curve(csv, name);
    for (const auto& [epoch, value] : curve) {
      run.epochs = std::max(run.epochs, static_cast<int64_t>(epoch) + 1);
      if (!std::isfinite(value)) continue;
      const auto [best, is_first] = run.best.try_emplace(name, value, epoch);
      const double before = best->second.first;
      if (!is_first && (lower_is_better(name) ? value < before : value > before)) {
        best->second = {value, epoch};
      }
    }
  }
}

void read_status(PastRun& run, const fs::path& file) {
  const Value record = Value::from_json(files::read_text(file));
  if (!record.contains("fits") || !record.at("fits").is_array()) return;
  const auto& fits = record.at("fits").as_array();
  if (fits.empty() || !fits.back().contains("status")) return;
  const Value& status = fits.back().at("status");
  if (!status.is_string()) return;
  run.status = status == Value("running") ? "unfinished" : status.as_string();
}

void read_model_class(PastRun& run) {
  const fs::path file = newest_checkpoint(run.folder / "checkpoints");
  if (file.empty()) return;
  try_to_read(file, [&] {
    if (const auto description = module_description(load_checkpoint_outline(file))) {
      run.model = short_class_name(description->class_path);
    }
  });
}

/// The settings in which runs differ, by their full names.
std::vector<std::string> differing_settings(const std::vector<PastRun>& runs) {
  std::map<std::string, std::set<std::string>> values;
  for (const auto& run : runs) {
    if (run.model.empty()) continue;  // it hasn't trained anything
    for (const auto& [name, value] : run.settings) values[name].insert(value.to_json());
  }
  std::vector<std::string> names;
  for (const auto& [name, different] : values) {
    if (different.size() > 1) names.push_back(name);
  }
  return names;
}

/// The last part of each name, or the whole name if several end in the same.
std::map<std::string, std::string> short_names(const std::vector<std::string>& names) {
  const auto last_part = [](const std::string& name) { return name.substr(name.rfind('.') + 1); };
  std::map<std::string, int> counts;
  for (const auto& name : names) ++counts[last_part(name)];
  std::map<std::string, std::string> result;
  for (const auto& name : names) {
    result[name] = counts[last_part(name)] > 1 ? name : last_part(name);
  }
  return result;
}

std::string settings_cell(const PastRun& run, const std::map<std::string, std::string>& names) {
  if (run.model.empty()) return {};
  std::vector<std::string> parts;
  for (const auto& [name, shown] : names) {
    const auto found = run.settings.find(name);
    if (found == run.settings.end()) continue;
    const Value& value = found->second;
    const std::string text = value.is_string() ? value.as_string() : value.to_json();
    const bool is_long = text.size() > kLongestSetting;
    parts.push_back(
        fmt::format("{}={}{}", shown, text.substr(0, kLongestSetting), is_long ? "..." : ""));
  }
  return fmt::format("{}", fmt::join(parts, " "));
}

std::string local_time(int64_t seconds) {
  if (seconds == 0) return kNothing;
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::localtime_r(&time, &parts);
  std::array<char, 20> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts);
  return text.data();
}

std::vector<std::string> usual_metrics(const std::vector<PastRun>& runs) {
  std::set<std::string> all;
  for (const auto& run : runs) {
    for (const auto& [name, best] : run.best) all.insert(name);
  }
  std::vector<std::string> chosen;
  for (const char* name : {"val_loss", "val_acc"}) {
    if (all.count(name) > 0) chosen.emplace_back(name);
  }
  for (const auto& name : all) {
    const bool is_new = std::find(chosen.begin(), chosen.end(), name) == chosen.end();
    if (name.starts_with("val_") && is_new && chosen.size() < kMostMetrics) chosen.push_back(name);
  }
  if (chosen.empty() && all.count("train_loss") > 0) chosen.emplace_back("train_loss");
  return chosen;
}

/// Throws for a metric that no run has, and puts the best run first.
void sort_by_metric(std::vector<PastRun>& runs, const std::vector<std::string>& metrics) {
  std::set<std::string> known;
  for (const auto& run : runs) known.insert(run.metrics.begin(), run.metrics.end());
  for (const auto& name : metrics) {
    if (known.count(name) > 0) continue;
    throw ConfigError::unknown_name("metric", name, {known.begin(), known.end()});
  }
  if (metrics.empty()) return;
  const std::string& first = metrics.front();
  const double sign = lower_is_better(first) ? 1 : -1;
  std::stable_sort(runs.begin(), runs.end(), [&](const PastRun& a, const PastRun& b) {
    const auto of_a = a.best.find(first);
    const auto of_b = b.best.find(first);
    if (of_a == a.best.end() || of_b == b.best.end()) return of_a != a.best.end();
    return sign * of_a->second.first < sign * of_b->second.first;
  });
}

Value past_run_value(const PastRun& run, const std::vector<std::string>& differing) {
  Value value;
  value["run"] = run.folder.string();
  value["written"] = run.written;
  value["model"] = run.model.empty() ? Value() : Value(run.model);
  value["data"] = run.data.empty() ? Value() : Value(run.data);
  value["status"] = run.status.empty() ? Value() : Value(run.status);
  value["epochs"] = run.epochs;
  value["best"] = Value::Object{};
  for (const auto& [name, best] : run.best) {
    value["best"][name] = Value::Object{{"value", best.first}, {"epoch", best.second}};
  }
  value["settings"] = Value::Object{};
  for (const auto& name : differing) {
    const auto found = run.settings.find(name);
    if (found != run.settings.end()) value["settings"][name] = found->second;
  }
  return value;
}

}  // namespace

bool lower_is_better(std::string_view metric) {
  while (!metric.empty()) {
    const size_t end = std::min(metric.find_first_of("_/-"), metric.size());
    const auto word = metric.substr(0, end);
    if (std::find(kLowIsGood.begin(), kLowIsGood.end(), word) != kLowIsGood.end()) return true;
    metric.remove_prefix(std::min(end + 1, metric.size()));
  }
  return false;
}

PastRun read_past_run(const fs::path& folder) {
  PastRun run{.folder = folder};
  const fs::path config = folder / "config.yaml";
  const fs::path hparams = folder / "hparams.yaml";
  const fs::path metrics = folder / "metrics.csv";
  const fs::path settings = files::exists(config) ? config : hparams;
  try_to_read(settings, [&] { read_past_settings(run, settings); });
  try_to_read(metrics, [&] { read_best(run, metrics); });
  const fs::path record = folder / "run.json";
  try_to_read(record, [&] { read_status(run, record); });
  if (run.model.empty()) read_model_class(run);
  for (const auto& file : {config, hparams, metrics}) {
    run.written = std::max(run.written, time_of(file));
  }
  return run;
}

std::vector<std::string> run_labels(const std::vector<PastRun>& runs) {
  const auto names = short_names(differing_settings(runs));
  std::vector<std::string> labels;
  std::set<std::string> different;
  for (const auto& run : runs) {
    labels.push_back(settings_cell(run, names));
    if (!labels.back().empty()) different.insert(labels.back());
  }
  if (different.size() == runs.size()) return labels;
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string folder = runs[i].folder.filename().string();
    labels[i] = folder + (labels[i].empty() ? "" : ": " + labels[i]);
  }
  return labels;
}

std::vector<PastRun> read_past_runs(const fs::path& folder) {
  const fs::path logs = (folder == "." ? fs::path() : folder) / "levin_logs";
  auto folders = run_folders(files::is_folder(logs) ? logs : folder);
  std::reverse(folders.begin(), folders.end());
  if (folders.empty()) {
    throw DataError(fmt::format(
        "there are no runs in '{}'; name a folder that has levin_logs or version_0 in it",
        folder.string()));
  }
  std::vector<PastRun> runs;
  for (const auto& each : folders) runs.push_back(read_past_run(each));
  return runs;
}

std::string past_runs_table(const std::vector<PastRun>& runs, std::vector<std::string> metrics) {
  if (metrics.empty()) metrics = usual_metrics(runs);
  const auto names = short_names(differing_settings(runs));
  const bool says_status = std::any_of(runs.begin(), runs.end(), [](const PastRun& run) {
    return !run.status.empty() && run.status != "done";
  });
  std::vector<std::string> header = {"run", "date", "model", "epochs"};
  if (says_status) header.emplace_back("status");
  for (const auto& name : metrics) {
    header.push_back(fmt::format("{} {}", lower_is_better(name) ? "lowest" : "highest", name));
  }
  header.emplace_back("settings that differ");
  std::vector<std::vector<std::string>> rows = {std::move(header)};
  for (const auto& run : runs) {
    rows.push_back({run.folder.string(), local_time(run.written),
                    run.model.empty() ? kNothing : run.model, std::to_string(run.epochs)});
    if (says_status) rows.back().push_back(run.status.empty() ? kNothing : run.status);
    for (const auto& name : metrics) {
      const auto found = run.best.find(name);
      rows.back().push_back(found == run.best.end() ? kNothing
                                                    : fmt::format("{:.4g}", found->second.first));
    }
    rows.back().push_back(settings_cell(run, names));
  }
  return aligned_rows(rows);
}

int list_past_runs(const Arguments& arguments) {
  if (arguments.words.size() > 1) {
    throw ConfigError(fmt::format("{} runs takes one folder, but got {}", arguments.program,
                                  arguments.words.size()));
  }
  const std::string folder =
      arguments.words.empty() ? "." : expand_home(arguments.words.front(), "folder");
  auto runs = read_past_runs(fs::path(folder).lexically_normal());
  sort_by_metric(runs, arguments.metrics);
  if (!arguments.json) {
    write_output(past_runs_table(runs, arguments.metrics));
    return kDone;
  }
  const auto differing = differing_settings(runs);
  Value::Array values;
  for (const auto& run : runs) values.push_back(past_run_value(run, differing));
  write_output(Value(Value::Object{{"runs", std::move(values)}}).to_json() + "\n");
  return kDone;
}

}  // namespace levin
