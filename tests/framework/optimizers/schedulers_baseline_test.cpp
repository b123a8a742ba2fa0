// The schedules against PyTorch's: tests/baselines/schedulers.json. Row 8: step-size schedules.

#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/cyclic_schedulers.h>
#include <levin/framework/optimizers/plateau.h>
#include <levin/framework/optimizers/scheduler_list.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/optimizers/sequential_lr.h>

#include "framework/message_of.h"

namespace schedulers_baseline_test {

using nlohmann::json;

const json& baseline() {
  static const json content = [] {
    std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/schedulers.json");
    return json::parse(file);
  }();
  return content;
}

std::unique_ptr<levin::Scheduler> make(const json& test_case) {
  json options = test_case["options"];
  const std::string name = test_case["scheduler"];
  if (name == "SequentialLR" && !options.contains("schedulers")) {
    std::vector<std::unique_ptr<levin::Scheduler>> parts;
    for (const char* part : {"LinearLR", "CosineAnnealingLR"}) {
      parts.push_back(
          levin::shipped_schedulers().make(part, levin::Value::from_json(options[part].dump())));
    }
    return std::make_unique<levin::SequentialLR>(options["milestones"].get<std::vector<int64_t>>(),
                                                 std::move(parts));
  }
  for (const char* momentum : {"cycle_momentum", "base_momentum", "max_momentum"}) {
    options.erase(momentum);  // the momentum isn't cycled
  }
  return levin::shipped_schedulers().make(name, levin::Value::from_json(options.dump()));
}

void expect_rate(double actual, double expected, const std::string& place) {
  EXPECT_NEAR(actual, expected, 1e-12 * std::max(1.0, std::abs(expected))) << place;
  if (expected < 1e-9) return;
  EXPECT_NEAR(actual / expected, 1.0, 1e-9) << place;
}

TEST(SchedulersBaseline, every_counter_agrees_with_pytorch) {
  ASSERT_GE(baseline()["cases"].size(), 29U);
  for (const auto& test_case : baseline()["cases"]) {
    const auto scheduler = make(test_case);
    int64_t counter = 0;
    for (const double expected : test_case["rates"]) {
      expect_rate(scheduler->learning_rate(test_case["learning_rate"], counter), expected,
                  test_case["name"].get<std::string>() + " at " + std::to_string(counter));
      ++counter;
    }
  }
}

TEST(SchedulersBaseline, plateau_agrees_with_pytorch) {
  for (const auto& test_case : baseline()["plateau_cases"]) {
    const auto scheduler = make(test_case);
    ASSERT_TRUE(scheduler->needs_metric());
    const auto& rates = test_case["rates"];
    const auto& metrics = baseline()["plateau_metrics"];
    ASSERT_EQ(rates.size(), metrics.size() + 1);
    for (size_t k = 0; k < rates.size(); ++k) {
      if (k > 0) scheduler->observe(metrics[k - 1]);
      expect_rate(scheduler->learning_rate(test_case["learning_rate"], 0), rates[k],
                  test_case["name"].get<std::string>() + " after " + std::to_string(k));
    }
  }
}

TEST(SchedulersBaseline, has_every_shipped_scheduler) {
  std::set<std::string> compared = {"WarmupLR"};  // another name of LinearLR
  for (const char* cases : {"cases", "plateau_cases"}) {
    for (const auto& test_case : baseline()[cases]) compared.insert(test_case["scheduler"]);
  }
  for (const auto& name : levin::shipped_schedulers().names()) {
    EXPECT_TRUE(compared.contains(name)) << "add " << name << " to tests/baselines/schedulers.py";
  }
}

TEST(SchedulersPlateau, goes_on_where_it_was_saved) {
  for (const auto& test_case : baseline()["plateau_cases"]) {
    const auto& metrics = baseline()["plateau_metrics"];
    for (size_t stop = 0; stop <= metrics.size(); stop += 7) {
      const auto through = make(test_case);
      const auto resumed = make(test_case);
      for (size_t k = 0; k < metrics.size(); ++k) {
        if (k == stop) {
          auto state = through->state_dict();
          state.values = levin::Value::from_json(state.values.to_json());
          resumed->load_state_dict(state);
        }
        through->observe(metrics[k]);
        if (k >= stop) resumed->observe(metrics[k]);
        if (k >= stop) {
          EXPECT_EQ(through->learning_rate(0.1, 0), resumed->learning_rate(0.1, 0));
        }
      }
    }
  }
}

TEST(SchedulersPlateau, nan_is_no_improvement) {
  levin::ReduceLROnPlateau plateau({.patience = 0});
  plateau.observe(1.0);
  plateau.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_DOUBLE_EQ(plateau.learning_rate(1.0, 0), 0.1);
}

TEST(SchedulersOneCycle, peaks_at_the_optimizers_rate_and_ends_for_good) {
  const levin::OneCycleLR cycle({.total_steps = 10, .pct_start = 0.5});
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.2, 4), 0.2);
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.2, 9), 0.2 / 25.0 / 1e4);
  EXPECT_EQ(cycle.learning_rate(0.2, 500), cycle.learning_rate(0.2, 9));
  EXPECT_TRUE(std::isfinite(levin::OneCycleLR({.total_steps = 10, .pct_start = 0.1}).factor(0)));
  EXPECT_TRUE(std::isfinite(levin::OneCycleLR({.total_steps = 1}).factor(0)));
}

TEST(SchedulersSequence, takes_schedules_as_they_are) {
  const levin::SequentialLR schedule({4}, levin::WarmupLR({.start_factor = 0.5, .total_iters = 4}),
                                     levin::CosineAnnealingLR({.T_max = 10, .eta_min = 0.1}));
  EXPECT_DOUBLE_EQ(schedule.learning_rate(1.0, 0), 0.5);
  EXPECT_DOUBLE_EQ(schedule.learning_rate(1.0, 4), 1.0);
  EXPECT_DOUBLE_EQ(schedule.learning_rate(1.0, 14), 0.1);
}

TEST(SchedulersSequence, names_what_is_wrong_in_a_list_of_names) {
  const auto message = [](const char* settings) {
    return levin::test::message_of<levin::ConfigError>([&] {
      levin::shipped_schedulers().make("SequentialLR", levin::Value::from_json(settings));
    });
  };
  EXPECT_TRUE(
      levin::test::says(message(R"({"milestones": [3], "schedulers": ["LinearLR", "CosineLR"]})"),
                        {"SequentialLR: ", "'CosineLR'"}));
  EXPECT_TRUE(levin::test::says(
      message(
          R"({"milestones": [3], "schedulers": ["LinearLR", {"name": "StepLR", "step_sise": 3}]})"),
      {"SequentialLR: StepLR: ", "did you mean 'step_size'"}));
  EXPECT_TRUE(levin::test::says(message("{}"), {"SequentialLR: ", "milestone"}));
}

TEST(SchedulersLambda, multiplies_the_base_rate) {
  const levin::LambdaLR halves([](int64_t counter) { return std::exp2(-double(counter)); });
  EXPECT_DOUBLE_EQ(halves.learning_rate(0.8, 0), 0.8);
  EXPECT_DOUBLE_EQ(halves.learning_rate(0.8, 3), 0.1);
  EXPECT_THROW(levin::LambdaLR({}), levin::ConfigError);
}

TEST(SchedulersCyclic, starts_at_the_optimizers_rate_unless_told_otherwise) {
  const levin::CyclicLR cycle({.max_lr = 0.5, .step_size_up = 4});
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.1, 0), 0.1);
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.1, 2), 0.3);
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.1, 4), 0.5);
  EXPECT_DOUBLE_EQ(cycle.learning_rate(0.1, 8), 0.1);
}

TEST(SchedulersRestarts, last_through_any_counter) {
  const levin::CosineAnnealingWarmRestarts restarts({.T_0 = 3, .T_mult = 10});
  EXPECT_TRUE(std::isfinite(restarts.factor(std::numeric_limits<int64_t>::max())));
}

TEST(SchedulersOptions, that_cannot_be_are_refused) {
  using levin::ConfigError;
  EXPECT_THROW(levin::StepLR(), ConfigError);
  EXPECT_THROW(levin::StepLR({.step_size = -3}), ConfigError);
  EXPECT_THROW(levin::StepLR({.step_size = 1, .gamma = -1.0}), ConfigError);
  EXPECT_THROW(levin::MultiStepLR(), ConfigError);
  EXPECT_THROW(levin::MultiStepLR({.milestones = {0, 4}}), ConfigError);
  EXPECT_THROW(levin::ExponentialLR(), ConfigError);
  EXPECT_THROW(levin::CosineAnnealingLR(), ConfigError);
  EXPECT_THROW(levin::CosineAnnealingLR({.T_max = 5, .eta_min = -0.1}), ConfigError);
  EXPECT_THROW(levin::LinearLR({.start_factor = 0.0}), ConfigError);
  EXPECT_THROW(levin::LinearLR({.end_factor = 1.5}), ConfigError);
  EXPECT_THROW(levin::LinearLR({.total_iters = 0}), ConfigError);
  EXPECT_THROW(levin::ConstantLR({.factor = 1.5}), ConfigError);
  EXPECT_THROW(levin::ConstantLR({.total_iters = 0}), ConfigError);
  EXPECT_THROW(levin::PolynomialLR({.total_iters = 0}), ConfigError);
  EXPECT_THROW(levin::PolynomialLR({.power = 0.0}), ConfigError);
  EXPECT_THROW(levin::CosineAnnealingWarmRestarts(), ConfigError);
  EXPECT_THROW(levin::CosineAnnealingWarmRestarts({.T_0 = 2, .T_mult = 0}), ConfigError);
  EXPECT_THROW(levin::CyclicLR(), ConfigError);
  EXPECT_THROW(levin::CyclicLR({.max_lr = 0.1, .step_size_up = 0}), ConfigError);
  EXPECT_THROW(levin::CyclicLR({.max_lr = 0.1, .step_size_down = 0}), ConfigError);
  EXPECT_THROW(levin::CyclicLR({.max_lr = 0.1, .mode = "square"}), ConfigError);
  EXPECT_THROW(levin::OneCycleLR(), ConfigError);
  EXPECT_THROW(levin::OneCycleLR({.total_steps = 9, .pct_start = 1.5}), ConfigError);
  EXPECT_THROW(levin::OneCycleLR({.total_steps = 9, .anneal_strategy = "cosine"}), ConfigError);
  EXPECT_THROW(levin::ReduceLROnPlateau({.mode = "lowest"}), ConfigError);
  EXPECT_THROW(levin::ReduceLROnPlateau({.factor = 1.0}), ConfigError);
  EXPECT_THROW(levin::ReduceLROnPlateau({.threshold_mode = "both"}), ConfigError);
  EXPECT_THROW(levin::SequentialLR({5}, levin::LinearLR()), ConfigError);
  EXPECT_THROW(levin::SequentialLR({0}, levin::LinearLR(), levin::LinearLR()), ConfigError);
  EXPECT_THROW(levin::SequentialLR({5}, levin::LinearLR(), levin::ReduceLROnPlateau()),
               ConfigError);
}

}  // namespace schedulers_baseline_test
