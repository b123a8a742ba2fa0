#include <levin/tuning/report/study_page.h>

#include <fmt/format.h>

#include <levin/framework/plots/svg.h>
#include <levin/tuning/report/study_plots.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/samplers/pareto_front.h>

namespace levin {
namespace {

constexpr std::string_view kPageStyle = R"(<style>
body { font-family: system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  max-width: 900px; margin: 24px auto; padding: 0 16px; color: #222222; background: #ffffff; }
h1 { font-size: 24px; } h2 { font-size: 19px; margin-top: 32px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th, td { border-bottom: 1px solid #e3e6e9; padding: 4px 10px; text-align: left; }
@media (prefers-color-scheme: dark) {
body { color: #e8eaed; background: #16181b; } th, td { border-color: #2d3136; }
}
</style>
)";

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<div class=\"scroll\"><table>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    out += "<tr>";
    for (const auto& cell : rows[i]) {
      out += fmt::format("<{0}>{1}</{0}>", i == 0 ? "th" : "td", svg::escaped(cell));
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string study_page(const Study& study) {
  const std::string title = svg::escaped(fmt::format("Study {}", study.name));
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n{}{}</head>\n<body>\n<h1>{}</h1>\n",
      title, kPageStyle, svg::style(), title);
  out += fmt::format("<p>{}</p>\n", svg::escaped(study_counts(study)));
  Study front = study;
  front.trials.clear();
  for (const Trial* trial : pareto_front(study)) front.trials.push_back(*trial);
  const bool has_one = study.directions.size() == 1;
  if (has_one && front.trials.size() > 1) front.trials.resize(1);
  out += has_one ? "<h2>Best trial</h2>\n" : "<h2>Pareto front</h2>\n";
  out += front.trials.empty() ? "<p>No trial is complete.</p>\n" : html_table(study_rows(front));
  out += "<h2>Plots</h2>\n";
  for (const auto& plot : {draw_history(study, false), draw_importances(study, false),
                           draw_slices(study, false), draw_parallel_coordinates(study, false)}) {
    out += "<div class=\"scroll\">" + plot + "</div>\n";
  }
  return out + "<h2>Trials</h2>\n" + html_table(study_rows(study)) + "</body>\n</html>\n";
}

}  // namespace levin
