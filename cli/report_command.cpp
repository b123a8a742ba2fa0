#include <levin/cli/report_command.h>

#include <algorithm>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/output.h>
#include <levin/cli/past_runs.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/plots/line_plot.h>
#include <levin/framework/plots/metrics_csv.h>
#include <levin/framework/plots/run_plots.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReportNotes = R"(
options:
  -o, --output FILE    the page, an HTML file that needs no network; default: report.html in RUN

RUN is the folder of a run, such as levin_logs/version_0. `fit` writes the page by itself, unless
--trainer.enable_report=false.
)";
constexpr uint64_t kMostRunRecordBytes = uint64_t{64} << 20;

/// Does what `read` does; if a file can't be read, prints why, and the report does without it.
void read_for_report(const fs::path& file, const std::function<void()>& read) {
  if (!files::exists(file)) return;
  try {
    read();
  } catch (const std::exception& error) {
    diagnostics::print(fmt::format("warning: {} is left out of the report: {}\n", file.string(),
                                   plain_message(error)));
  }
}

/// Settings as a YAML file has them, as groups in the form of job_settings, without defaults.
Value settings_in(const fs::path& file) {
  const Value root = read_yaml(file).plain();
  Value::Array groups;
  Value::Array others;
  for (const auto& [part, content] : root.as_object()) {
    if (!content.is_object()) {
      others.push_back(Value::Object{{"name", part}, {"value", content}});
      continue;
    }
    Value group = Value::Object{{"name", part}};
    if (content.contains("class_path")) group["class"] = content.at("class_path");
    Value::Array list;
    const bool has_class = content.contains("class_path");
    const Value settings = !has_class                      ? content
                           : content.contains("init_args") ? content.at("init_args")
                                                           : Value(Value::Object{});
    if (!settings.is_object()) continue;
    for (const auto& [name, value] : settings.as_object()) {
      list.push_back(Value::Object{{"name", name}, {"value", value}});
    }
    group["settings"] = std::move(list);
    groups.push_back(std::move(group));
  }
  groups.push_back(Value::Object{{"name", "others"}, {"settings", std::move(others)}});
  return groups;
}

/// Drawings of the metrics, a plot each, and of the learning rates.
void draw_pictures(RunReport& report, const std::string& csv) {
  const std::vector<RunMetrics> run = {{.name = {}, .csv = csv}};
  for (const auto& plots : {metric_plots(run), learning_rate_plots(run)}) {
    for (const auto& plot : plots) {
      const std::string title =
          fmt::format("{} over {}", plot.y_label, plot.x_label.empty() ? "epochs" : plot.x_label);
      report.pictures.push_back({title, draw_lines(title, {plot}, /*with_style=*/false)});
    }
  }
}

void read_metrics_of_run(RunReport& report, const fs::path& file) {
  const std::string csv = files::read_text(file);
  for (const auto& name : metric_names(csv)) {
    report.metrics.push_back({.name = name,
                              .points = read_whole_curve(csv, name),
                              .lower_is_better = lower_is_better(name)});
  }
  if (!report.metrics.empty()) draw_pictures(report, csv);
}

/// The name of a path that a record has, if the path is set.
std::string recorded_name(const Value& fit, std::string_view which) {
  if (!fit.contains(which) || !fit.at(which).is_string()) return {};
  return fs::path(fit.at(which).as_string()).filename().string();
}

uint64_t bytes_at(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const auto size = fs::file_size(path, error);
    return error ? 0 : size;
  }
  uint64_t bytes = 0;
  for (fs::directory_iterator each(path, error), end; !error && each != end;
       each.increment(error)) {
    const auto size = fs::file_size(each->path(), error);
    if (!error) bytes += size;
    error.clear();
  }
  return bytes;
}

void list_checkpoints(RunReport& report, const fs::path& folder) {
  const Value fit = report.fits.empty() ? Value() : report.fits.back();
  const std::string best = recorded_name(fit, "best_checkpoint");
  const std::string last = recorded_name(fit, "last_checkpoint");
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    const std::string name = each->path().filename().string();
    if (each->path().extension() != ".ckpt") continue;
    report.checkpoints.push_back({.name = "checkpoints/" + name,
                                  .bytes = bytes_at(each->path()),
                                  .is_best = name == best,
                                  .is_last = name == last});
  }
  std::sort(report.checkpoints.begin(), report.checkpoints.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
}

}  // namespace

RunReport read_run_report(const fs::path& folder) {
  if (!files::is_folder(folder)) {
    throw DataError(fmt::format("there is no folder '{}'; name a run such as levin_logs/version_0",
                                folder.string()));
  }
  RunReport report;
  report.name = fs::weakly_canonical(folder).filename().string();
  const fs::path record = folder / "run.json";
  read_for_report(record, [&] {
    const Value file = Value::from_json(files::read_text(record, kMostRunRecordBytes));
    report.fits = file.at("fits").as_array();
  });
  for (const char* name : {"config.yaml", "hparams.yaml"}) {
    if (!report.fits.empty()) break;
    read_for_report(folder / name, [&] {
      report.fits.push_back(Value::Object{{"settings", settings_in(folder / name)}});
    });
  }
  const fs::path metrics = folder / "metrics.csv";
  read_for_report(metrics, [&] { read_metrics_of_run(report, metrics); });
  list_checkpoints(report, folder / "checkpoints");
  if (report.fits.empty() && report.metrics.empty() && report.checkpoints.empty()) {
    throw DataError(
        fmt::format("'{}' holds no run: it has neither run.json, config.yaml, "
                    "hparams.yaml, metrics.csv nor checkpoints; name a run such as "
                    "levin_logs/version_0",
                    folder.string()));
  }
  return report;
}

fs::path write_run_report(const fs::path& folder, const fs::path& output) {
  const std::string page = report_page(read_run_report(folder));
  const fs::path path = output.empty() ? folder / "report.html" : output;
  files::write_atomically(path, page);
  return path;
}

namespace {

int report_run(const Arguments& arguments) {
  if (arguments.words.size() != 1) {
    throw ConfigError(fmt::format("{0} report takes one run, but got {1}; see {0} report --help",
                                  arguments.program, arguments.words.size()));
  }
  const fs::path folder = expand_home(arguments.words.front(), "run");
  const fs::path path = write_run_report(folder.lexically_normal(), arguments.output);
  diagnostics::print(fmt::format("the report of {} is in {}\n", folder.string(), path.string()));
  return kDone;
}

}  // namespace

Command report_command() {
  return {.name = "report",
          .usage = "RUN [--output FILE]",
          .help = "write a page on a run: results, settings, machine, data, layers, checkpoints",
          .run = [](const Arguments& arguments, const Registry&) { return report_run(arguments); },
          .shared_options = {"output"},
          .notes = kReportNotes};
}

}  // namespace levin
