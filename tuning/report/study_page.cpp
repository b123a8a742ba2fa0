#include <levin/tuning/report/study_page.h>

#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/report/html_page.h>
#include <levin/tuning/report/study_plots.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/samplers/pareto_front.h>

namespace levin {
namespace {

/// In a narrow window, plots scroll, because their text would be too small to read.
constexpr std::string_view kStudyRules =
    "<style>@media (max-width: 760px) { .scroll svg { min-width: 760px; } }</style>\n";

std::string trials_table(std::string caption, std::vector<std::vector<std::string>> rows) {
  html::Table table{.caption = std::move(caption), .header = std::move(rows.front())};
  rows.erase(rows.begin());
  table.rows = std::move(rows);
  return html::table(table);
}

}  // namespace

std::string study_page(const Study& study) {
  std::string out =
      html::begin_page("Study " + study.name, kStudyRules) + html::paragraph(study_counts(study));
  Study front = study;
  front.trials.clear();
  for (const Trial* trial : pareto_front(study)) front.trials.push_back(*trial);
  const bool has_one = study.directions.size() == 1;
  if (has_one && front.trials.size() > 1) front.trials.resize(1);
  out += html::heading(has_one ? "Best trial" : "Pareto front");
  out += front.trials.empty() ? html::paragraph("No trial is complete.")
                              : trials_table("The best trials", study_rows(front));
  out += html::heading("Plots");
  out += html::scroll_box("History", draw_history(study, false)) +
         html::scroll_box("Importance of the parameters", draw_importances(study, false)) +
         html::scroll_box("Slices", draw_slices(study, false)) +
         html::scroll_box("Parallel coordinates", draw_parallel_coordinates(study, false));
  return out + html::heading("Trials") + trials_table("All trials", study_rows(study)) +
         std::string(html::end_page());
}

}  // namespace levin
