#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/asha.h>

namespace levin::asha_test {

/// The loss of a trial after some steps; the order of the trials is the same at all steps.
double loss_at(int64_t number, int64_t step) {
  const double quality = static_cast<double>((number * 37) % 101) / 101.0;
  return quality + 1.0 / static_cast<double>(step);
}

/// Lets some workers do jobs, each as long as its steps, until `budget` steps are used up.
struct Search {
  Asha asha;
  Study study{};
  int64_t steps = 0;
  std::vector<int64_t> done_at{};  // the last step of each trial

  void finish(const AshaJob& job, int64_t number) {
    Trial& trial = study.trials[static_cast<size_t>(number)];
    steps += job.until_step - done_at[static_cast<size_t>(number)];
    done_at[static_cast<size_t>(number)] = job.until_step;
    const double loss = loss_at(number, job.until_step);
    trial.intermediate_values[job.until_step] = loss;
    trial.system_attributes[Asha::value_attribute(job.rung)] = loss;
    trial.state = TrialState::waiting;
    if (job.rung + 1 == asha.rungs()) {
      trial.state = TrialState::complete;
      trial.values = {loss};
    }
  }

  int64_t begin(const AshaJob& job) {
    if (!job.resumed) {
      study.trials.emplace_back();
      study.trials.back().number = static_cast<int64_t>(study.trials.size()) - 1;
      done_at.push_back(0);
    }
    const int64_t number = job.resumed.value_or(static_cast<int64_t>(study.trials.size()) - 1);
    Trial& trial = study.trials[static_cast<size_t>(number)];
    EXPECT_EQ(Asha::rung_to_train(trial), job.rung);
    trial.system_attributes[Asha::rung_attribute] = job.rung;
    trial.state = TrialState::running;
    return number;
  }

  void run(int64_t budget, size_t workers) {
    while (steps < budget) {
      std::vector<std::pair<AshaJob, int64_t>> jobs;
      for (size_t i = 0; i < workers; ++i) {
        const AshaJob job = asha.next(study);
        jobs.emplace_back(job, begin(job));
      }
      for (const auto& [job, number] : jobs) finish(job, number);
    }
  }
};

TEST(Asha, rungs_end_at_the_largest_step) {
  const Asha asha({.min_resource = 1, .max_resource = 81, .reduction_factor = 3});
  EXPECT_EQ(asha.rungs(), 5);
  EXPECT_EQ(asha.step_of(2), 9);
  EXPECT_EQ(asha.step_of(4), 81);
  const Asha uneven({.min_resource = 2, .max_resource = 50, .reduction_factor = 4});
  EXPECT_EQ(uneven.rungs(), 4);
  EXPECT_EQ(uneven.step_of(2), 32);
  EXPECT_EQ(uneven.step_of(3), 50);
  EXPECT_EQ(Asha({.min_resource = 7, .max_resource = 7}).rungs(), 1);
}

TEST(Asha, the_best_quarter_of_each_rung_goes_on_and_no_trial_runs_twice_at_once) {
  for (const size_t workers : {size_t{1}, size_t{4}}) {
    Search search{Asha({.min_resource = 1, .max_resource = 64, .reduction_factor = 4})};
    search.study.directions = {StudyDirection::minimize};
    search.run(1200, workers);
    std::vector<std::vector<double>> reached(4);
    for (const Trial& trial : search.study.trials) {
      for (int64_t rung = 0; rung < 4; ++rung) {
        const auto at = trial.system_attributes.find(Asha::value_attribute(rung));
        if (at == trial.system_attributes.end()) continue;
        reached[static_cast<size_t>(rung)].push_back(at->second.as_double());
        EXPECT_TRUE(rung == 0 ||
                    trial.system_attributes.count(Asha::value_attribute(rung - 1)) > 0);
      }
    }
    for (size_t rung = 1; rung < 4; ++rung) {
      // Some have gone on before better ones came, about as many as the root of the rung's size.
      const auto below = static_cast<double>(reached[rung - 1].size());
      EXPECT_LE(static_cast<double>(reached[rung].size()), below / 4.0 + std::sqrt(below)) << rung;
      EXPECT_GE(reached[rung].size() + workers, reached[rung - 1].size() / 4) << rung;
    }
    EXPECT_GE(reached[3].size(), 3U);
    ASSERT_NE(search.study.best_trial(), nullptr);
    // Each of the 101 qualities occurs once in 101 trials.
    EXPECT_GE(search.study.trials.size(), 101U);
    EXPECT_LT(search.study.best_trial()->values[0], 0.1);
    std::set<int64_t> numbers;
    for (const Trial& trial : search.study.trials) {
      if (Asha::is_paused(trial)) numbers.insert(trial.number);
    }
    EXPECT_GT(numbers.size(), 50U) << "the others pause, and may go on";
  }
}

TEST(Asha, the_best_of_the_highest_rung_wins_if_few_trials_have_no_winner) {
  const Asha asha({.min_resource = 1, .max_resource = 64, .reduction_factor = 4});
  Study study;
  study.directions = {StudyDirection::maximize};
  const auto pause = [&](int64_t rung, double value) {
    Trial trial;
    trial.number = static_cast<int64_t>(study.trials.size());
    trial.state = TrialState::waiting;
    trial.system_attributes[Asha::rung_attribute] = rung;
    trial.system_attributes[Asha::value_attribute(rung)] = value;
    study.trials.push_back(std::move(trial));
  };
  EXPECT_FALSE(asha.winner(study));
  pause(0, 0.9);
  pause(1, 0.5);
  pause(1, 0.7);
  EXPECT_FALSE(asha.next(study).resumed);
  EXPECT_EQ(asha.winner(study), 2);
  study.trials[2].state = TrialState::complete;
  EXPECT_FALSE(asha.winner(study));
}

TEST(Asha, refuses_options_that_make_no_sense) {
  EXPECT_THROW(Asha({.min_resource = 0}), ConfigError);
  EXPECT_THROW(Asha({.min_resource = 9, .max_resource = 8}), ConfigError);
  EXPECT_THROW(Asha({.reduction_factor = 1}), ConfigError);
  EXPECT_THROW(Asha({}).next({}), ConfigError);
}

}  // namespace levin::asha_test
