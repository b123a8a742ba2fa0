#include <levin/tuning/report/study_page.h>

#include <utility>
#include <vector>

#include <levin/framework/report/html_page.h>
#include <levin/tuning/report/study_plots.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/samplers/pareto_front.h>

namespace levin {
namespace {

std::string trials_table(std::string caption, std::vector<std::vector<std::string>> rows) {
  html::Table table{.caption = std::move(caption), .header = std::move(rows.front())};
  rows.erase(rows.begin());
  table.rows = std::move(rows);
  return html::table(table);
}

}  // namespace

std::string study_page(const Study& study) {
  std::string out = html::begin_page("Study " + study.name) + html::paragraph(study_counts(study));
  Study front = study;
  front.trials.clear();
  for (const Trial* trial : pareto_front(study)) front.trials.push_back(*trial);
  const bool has_one = study.directions.size() == 1;
  if (has_one && front.trials.size() > 1) front.trials.resize(1);
  out += html::heading(has_one ? "Best trial" : "Pareto front");
  out += front.trials.empty() ? html::paragraph("No trial is complete.")
                              : trials_table("The best trials", study_rows(front));
  out += html::heading("Plots");
  for (const auto& plot : {draw_history(study, false), draw_importances(study, false),
                           draw_slices(study, false), draw_parallel_coordinates(study, false)}) {
    out += html::scroll_box("A plot of the study", plot);
  }
  return out + html::heading("Trials") + trials_table("All trials", study_rows(study)) +
         std::string(html::end_page());
}

}  // namespace levin
