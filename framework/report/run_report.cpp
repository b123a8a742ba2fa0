#include <levin/framework/report/run_report.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/plots/svg.h>
#include <levin/framework/report/html_page.h>
#include <levin/framework/report/record_parts.h>
#include <levin/framework/report/report_text.h>
#include <levin/framework/report/status_parts.h>

namespace levin::report_parts {
namespace {

using namespace report_text;

constexpr size_t kMostPictures = 40;
constexpr size_t kMostPictureBytes = size_t{1} << 20;  // of all of them together

constexpr std::string_view kReportRules = R"(<style>
.status { display: inline-block; border: 1px solid var(--line); border-radius: 10px;
  padding: 0 10px; background: var(--box); }
.status.failed { color: var(--bad); border-color: var(--bad); }
.problem { border-left: 4px solid var(--bad); background: var(--box); padding: 8px 12px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px;
  margin: 16px 0; padding: 0; }
.cards div { background: var(--box); border-radius: 8px; padding: 8px 12px; min-width: 0; }
.cards dt { color: var(--faint); font-size: 13px; } .cards dd { margin: 0; font-size: 17px; }
.cards dd small { display: block; font-size: 13px; color: var(--faint); }
.changed { font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 12px; } .pictures .scroll { margin: 0; }
</style>
)";

// --- the parts of the page, each empty if nothing is known ---------------------------------------

/// A value with its name, and lines of remarks below it.
std::string card(std::string_view name, std::string_view value,
                 std::initializer_list<std::string> remarks = {}) {
  if (value.empty()) return {};
  std::string small;
  for (const auto& each : remarks) {
    if (!each.empty()) small += fmt::format("<small>{}</small>", svg::escaped(each));
  }
  return fmt::format("<div><dt>{}</dt><dd>{}{}</dd></div>\n", svg::escaped(name),
                     svg::escaped(value), small);
}

std::string result_cards(const RunReport& report) {
  std::string out;
  for (const char* name : {"val_acc", "val_loss", "train_loss"}) {
    const auto found = std::find_if(report.metrics.begin(), report.metrics.end(),
                                    [&](const MetricSeries& each) { return each.name == name; });
    if (found == report.metrics.end() || found->points.empty()) continue;
    const auto best = best_point(*found);
    if (!best) {
      out += card(name, fmt::format("{:.4g}", found->points.back().second), {"never finite"});
      continue;
    }
    out += card(fmt::format("{} {}", found->lower_is_better ? "lowest" : "highest", name),
                fmt::format("{:.4g}", best->second),
                {fmt::format("in epoch {:g}", best->first),
                 fmt::format("at the end {:.4g}", found->points.back().second)});
  }
  return out;
}

/// The beginnings of the checksums of the data.
std::string short_checksums(const Value& fit) {
  std::vector<std::string> sums;
  for (const auto& source : items(member(fit, "data"), "sources")) {
    const std::string sum = shown(source, "sha256");
    if (sums.size() == 3) sums.emplace_back("...");
    if (sums.size() > 3) break;
    if (!sum.empty()) sums.push_back(sum.substr(0, 12));
  }
  return fmt::format("{}", fmt::join(sums, ", "));
}

std::string identity_cards(const Value& fit) {
  std::string out;
  const Value& model = member(fit, "model");
  if (member(model, "parameters").is_int()) {
    out += card("model", shown(model, "class"),
                {count_shown(member(model, "parameters")) + " parameters"});
  }
  out += card("data (SHA-256)", short_checksums(fit));
  out += card("seed", shown(fit, "seed"));
  const Value& levin = member(fit, "levin");
  const std::string commit = shown(levin, "commit");
  out += card("Levin", shown(levin, "version"),
              {commit.empty() ? "built from an unknown commit" : "commit " + commit.substr(0, 12)});
  return out +
         card("commit of the folder", shown(member(fit, "git"), "commit").substr(0, 12),
              {member(member(fit, "git"), "changed") == Value(true) ? "with changes since" : ""});
}

std::string result_part(const RunReport& report, const Value& fit) {
  std::string out;
  if (!fit.is_null()) out += status_part(report, fit);
  out += not_finite_part(report);
  const std::string cards = result_cards(report) + identity_cards(fit);
  return cards.empty() ? out : out + "<dl class=\"cards\">\n" + cards + "</dl>\n";
}

std::string left_out(size_t all, std::string_view what) {
  if (all <= kMostRows) return {};
  return html::paragraph(fmt::format("The other {} aren't shown.", counted(all - kMostRows, what)));
}

std::string metrics_part(const RunReport& report) {
  if (report.metrics.empty()) return {};
  std::string out = html::heading("Metrics", "metrics");
  size_t bytes = 0;
  std::string pictures;
  for (size_t i = 0; i < std::min(report.pictures.size(), kMostPictures); ++i) {
    bytes += report.pictures[i].svg.size();
    if (bytes > kMostPictureBytes) break;
    pictures += html::scroll_box(report.pictures[i].title, report.pictures[i].svg);
  }
  if (!pictures.empty()) out += "<div class=\"pictures\">\n" + pictures + "</div>\n";
  html::Table table{.caption = "Metrics: their last and their best values",
                    .header = {"metric", "last", "best", "in epoch", "best is"},
                    .number_columns = {1, 2, 3}};
  for (const auto& series : report.metrics) {
    if (table.rows.size() == kMostRows) break;
    if (series.points.empty()) {
      table.rows.push_back({cut(series.name), "", "", "", ""});
      continue;
    }
    const auto best = best_point(series);
    table.rows.push_back({cut(series.name), fmt::format("{:.6g}", series.points.back().second),
                          best ? fmt::format("{:.6g}", best->second) : "none",
                          best ? fmt::format("{:g}", best->first) : std::string(),
                          series.lower_is_better ? "lowest" : "highest"});
  }
  return out + html::table(table) + left_out(report.metrics.size(), "metric");
}

std::string checkpoints_part(const RunReport& report) {
  if (report.checkpoints.empty()) return {};
  html::Table table{.caption = "Checkpoints in the run's folder",
                    .header = {"file", "size", ""},
                    .number_columns = {1}};
  for (const auto& each : report.checkpoints) {
    if (table.rows.size() == kMostRows) break;
    std::vector<std::string> marks;
    if (each.is_best) marks.emplace_back("best");
    if (each.is_last) marks.emplace_back("last");
    table.rows.push_back({cut(each.name), bytes_shown(static_cast<double>(each.bytes)),
                          fmt::format("{}", fmt::join(marks, ", "))});
  }
  table.header.back() = "kept as";
  return html::heading("Checkpoints", "checkpoints") + html::table(table) +
         left_out(report.checkpoints.size(), "checkpoint");
}

std::string earlier_part(const Value::Array& fits) {
  if (fits.size() < 2) return {};
  html::Table table{.caption = "Fits in this folder, the latest one last",
                    .header = {"started", "took", "ended", "steps", "from step", "seed",
                               "commit of the folder", "data (SHA-256)"},
                    .number_columns = {3, 4}};
  const size_t first = fits.size() - std::min(fits.size(), kMostRows);
  for (size_t i = first; i < fits.size(); ++i) {
    const Value& fit = fits[i];
    const Value& git = member(fit, "git");
    table.rows.push_back({time_shown(member(fit, "started")), duration_shown(fit),
                          shown(fit, "status"), count_shown(member(fit, "global_step")),
                          count_shown(member(fit, "first_step")), shown(fit, "seed"),
                          shown(git, "commit").substr(0, 12) +
                              (member(git, "changed") == Value(true) ? ", with changes" : ""),
                          short_checksums(fit)});
  }
  return html::heading("Fits", "fits") +
         html::paragraph(
             "Later fits went on from checkpoints of earlier ones. The page is about the last.") +
         html::table(table);
}

std::string whole_page(const RunReport& report) {
  const Value fit = report.fits.empty() ? Value() : report.fits.back();
  const std::string model = shown(member(fit, "model"), "class");
  std::string title = "Run " + report.name;
  if (!model.empty()) title += ": " + model;
  return html::begin_page(title, kReportRules) + result_part(report, fit) + metrics_part(report) +
         settings_part(fit) + data_part(fit) + model_part(fit) + environment_part(fit) +
         time_part(fit) + checkpoints_part(report) + earlier_part(report.fits) +
         std::string(html::end_page());
}

}  // namespace
}  // namespace levin::report_parts

namespace levin {

std::string report_page(const RunReport& report) { return report_parts::whole_page(report); }

}  // namespace levin
