#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/plots/plot_scale.h>
#include <levin/tuning/report/study_page.h>
#include <levin/tuning/report/study_plots.h>
#include <levin/tuning/report/study_report.h>

namespace levin::study_page_test {

size_t count_of(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

/// Three complete trials, one that was pruned, one that failed and one with an infinite value.
Study some_study() {
  Study study;
  study.name = "a<b>";
  study.directions = {StudyDirection::minimize};
  study.system_attributes["study:metric_names"] = Value::Array{"val_loss"};
  const auto add = [&](TrialState state, std::vector<double> values) {
    Trial trial;
    trial.number = static_cast<int64_t>(study.trials.size());
    trial.state = state;
    trial.values = std::move(values);
    trial.parameters = {{"model.learning_rate", 0.1}, {"model.kind", 1.0}};
    trial.distributions.emplace("model.learning_rate", FloatDistribution{0.001, 1.0, true});
    trial.distributions.emplace("model.kind", CategoricalDistribution{{"small & fast", "[16,16]"}});
    study.trials.push_back(std::move(trial));
  };
  add(TrialState::complete, {0.5});
  add(TrialState::pruned, {0.9});
  add(TrialState::complete, {0.25});
  add(TrialState::fail, {});
  add(TrialState::complete, {std::numeric_limits<double>::infinity()});
  add(TrialState::complete, {0.75});
  return study;
}

TEST(StudyPlots, show_each_trial_that_has_a_value) {
  const Study study = some_study();
  const std::string history = draw_history(study);
  EXPECT_EQ(count_of(history, "<circle"), 4U);
  EXPECT_EQ(count_of(history, "class=\"faint\" cx"), 1U) << "the one that was pruned";
  EXPECT_EQ(count_of(draw_slices(study), "<circle"), 8U) << "two parameters";
  EXPECT_EQ(count_of(draw_parallel_coordinates(study), "<polyline"), 4U);
  EXPECT_EQ(count_of(draw_importances(study), "<rect class=\"d0\""), 2U);
  for (const auto& plot : {history, draw_slices(study), draw_parallel_coordinates(study)}) {
    EXPECT_TRUE(plot.starts_with("<svg ")) << plot.substr(0, 40);
    EXPECT_TRUE(plot.ends_with("</svg>\n"));
    EXPECT_EQ(plot.find("a<b>"), std::string::npos) << "names are escaped";
    EXPECT_EQ(plot.find("nan"), std::string::npos);
    EXPECT_EQ(plot.find("inf"), std::string::npos);
  }
}

TEST(StudyPlots, say_so_if_no_trial_has_a_value) {
  Study study = some_study();
  study.trials.resize(1);
  study.trials[0].values.clear();
  study.trials[0].state = TrialState::running;
  for (const auto& plot : {draw_history(study), draw_slices(study), draw_importances(study),
                           draw_parallel_coordinates(study)}) {
    EXPECT_NE(plot.find("No trial has a value yet."), std::string::npos);
  }
}

TEST(StudyPlots, axes_have_marks_at_round_values) {
  const PlotScale rate = PlotScale::of_range(0.001, 1.0, PlotScale::Kind::logarithmic);
  ASSERT_EQ(rate.marks().size(), 4U);
  EXPECT_EQ(rate.marks()[1].second, "0.01");
  EXPECT_NEAR(rate.marks()[1].first, 1.0 / 3.0, 1e-12);
  EXPECT_NEAR(rate.place(0.1), 2.0 / 3.0, 1e-12);
  const PlotScale values = PlotScale::of_values({2000.0, 4000.0});
  EXPECT_EQ(values.marks().front().second, "2,000");
  EXPECT_EQ(PlotScale::of_values({1.0, 1.0}).place(1.0), 0.5);
  const PlotScale unit = PlotScale::of_range(0.0, 1.0);
  EXPECT_EQ(unit.marks().front().second, "0");
  const PlotScale numbers = PlotScale::of_range(0.0, 11.0, PlotScale::Kind::whole);
  ASSERT_EQ(numbers.marks().size(), 3U);
  EXPECT_EQ(numbers.marks()[1].second, "5");
}

TEST(StudyPage, needs_nothing_else_and_says_what_was_found) {
  const Study study = some_study();
  const std::string page = study_page(study);
  EXPECT_EQ(count_of(page, "<svg "), 4U);
  EXPECT_EQ(count_of(page, "<style>"), 3U) << "the plots have the page's rules";
  EXPECT_NE(page.find("6 trials: 4 complete, 1 pruned, 1 fail"), std::string::npos);
  for (const char* loaded : {"src=", "href=", "url(", "@import", "<script"}) {
    EXPECT_EQ(page.find(loaded), std::string::npos) << loaded;
  }
  for (const char* name : {"History", "Importance of the parameters", "Slices",
                           "Parallel coordinates", "The best trials", "All trials"}) {
    EXPECT_EQ(count_of(page, std::string("role=\"group\" aria-label=\"") + name + "\""), 1U)
        << name;
  }
  const size_t best = page.find("Best trial");
  EXPECT_NE(page.find("<td>0.25</td>", best), std::string::npos);
  EXPECT_LT(page.find("<td>0.25</td>", best), page.find("<h2>Plots"));
}

TEST(StudyReport, lists_the_trials_and_the_best_one) {
  const Study study = some_study();
  const auto rows = study_rows(study);
  ASSERT_EQ(rows.size(), 7U);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"trial", "state", "val_loss", "steps", "model.kind",
                                               "model.learning_rate"}));
  EXPECT_EQ(rows[3], (std::vector<std::string>{"2", "complete", "0.25", "0", "[16,16]", "0.1"}));
  EXPECT_EQ(study_summary(study).at("best").at("number"), Value(2));
  EXPECT_EQ(trial_line(study, study.trials[5]),
            "trial 5: complete, val_loss = 0.75; best: trial 2, 0.25");
}

}  // namespace levin::study_page_test
