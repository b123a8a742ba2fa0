// Searches for settings of real models. tuning_suite.py runs it beside Optuna, which gets its
// values from the same program.
//   tuning_problems evaluate CONFIG METRIC
//     reads lines such as {"model.learning_rate": 0.1} and prints the metric of each such fit
//   tuning_problems search CONFIG SPACE METRIC SAMPLER SEEDS TRIALS [FIRST]
//     prints a line of JSON for each seed: the best value of TRIALS trials
//   tuning_problems asha CONFIG SPACE METRIC SEEDS TRIALS [FIRST]
//     the epochs that ASHA needs for the best value that TRIALS random trials of full length find
// FIRST is the first of SEEDS seeds; by default 0.
#include <levin/levin.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <levin/cli/session.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/tuning/trials/tune.h>

namespace {

namespace fs = std::filesystem;
using levin::Registry;

/// Trains with these settings and returns the metric at the end.
double evaluate(const Registry& registry, const levin::SearchPlan& plan,
                const levin::ParameterValues& values) {
  levin::Job job = levin::read_job(registry, levin::configuration_of(plan, values));
  job.default_callbacks.clear();
  levin::Session session(std::move(job), registry);
  session.fit();
  return session.trainer().run().metrics().at(plan.options.metric.front());
}

void evaluate_lines(const Registry& registry, const std::string& config,
                    const std::string& metric) {
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<levin::Override> overrides;
    for (const auto& [name, value] : levin::Value::from_json(line).as_object()) {
      overrides.push_back({name, levin::parse_yaml(value.to_json(), "stdin"), false});
    }
    levin::Job job = levin::read_job(registry, levin::read_configuration({config}, overrides));
    job.default_callbacks.clear();
    levin::Session session(std::move(job), registry);
    session.fit();
    std::printf("%.17g\n", session.trainer().run().metrics().at(metric));
    std::fflush(stdout);
  }
}

levin::SearchPlan plan_of(const std::string& config, const std::string& space,
                          levin::TuneOptions options) {
  return levin::plan_search(levin::read_configuration({config}, {}),
                            levin::read_search_space(space), std::move(options));
}

void search(const Registry& registry, const std::string& config, const std::string& space,
            levin::TuneOptions options, int64_t seeds) {
  const int64_t end = options.seed + seeds;
  for (; options.seed < end; ++options.seed) {
    const levin::SearchPlan plan = plan_of(config, space, options);
    levin::Study study;
    study.directions = plan.directions;
    for (int64_t number = 0; number < options.trials; ++number) {
      levin::Trial trial;
      trial.id = trial.number = number;
      trial.state = levin::TrialState::complete;
      trial.parameters = plan.searcher->suggest(study, number)->parameters;
      for (const auto& [name, value] : trial.parameters) {
        trial.distributions.emplace(name, plan.space.find(name)->distribution);
      }
      trial.values = {evaluate(registry, plan, trial.parameters)};
      study.trials.push_back(std::move(trial));
    }
    std::printf("{\"searcher\": \"%s\", \"seed\": %lld, \"best\": %.17g}\n",
                options.sampler.c_str(), static_cast<long long>(options.seed),
                study.best_trial()->values[0]);
    std::fflush(stdout);
  }
}

int64_t epochs_of(const levin::Study& study) {
  int64_t epochs = 0;
  for (const levin::Trial& trial : study.trials) {
    epochs += trial.user_attributes.at("epochs").as_int();
  }
  return epochs;
}

void compare_asha(const Registry& registry, const std::string& config, const std::string& space,
                  levin::TuneOptions options, int64_t seeds) {
  const fs::path folder =
      fs::temp_directory_path() / ("levin_tuning_asha_" + std::to_string(::getpid()));
  const auto base = levin::read_configuration(
      {config}, {{"trainer.default_root_dir", levin::parse_yaml(folder.string(), "-"), false}});
  const int64_t end = options.seed + seeds;
  for (; options.seed < end; ++options.seed) {
    fs::remove_all(folder);
    fs::create_directories(folder);
    options.study = (folder / "study.log").string();
    options.name = "random";
    options.sampler = "random";
    const auto random = levin::tune(registry, base, levin::read_search_space(space), options);
    const int64_t all_epochs = epochs_of(random.study);
    const double goal = random.best->values[0];
    const bool is_max = random.study.directions[0] == levin::StudyDirection::maximize;
    // ASHA may begin new trials as long as it hasn't used as many epochs as random search has.
    levin::TuneOptions asha = options;
    asha.name = "asha";
    asha.pruner = "asha";
    asha.trials = 0;
    asha.epochs = all_epochs;
    asha.reduction_factor = 3;
    int64_t needed = -1;
    const auto look = [&](const levin::Study& study, const levin::Trial& trial) {
      if (needed >= 0 || trial.state != levin::TrialState::complete) return;
      const double value = trial.values[0];
      if (is_max ? value >= goal : value <= goal) needed = epochs_of(study);
    };
    const auto found = levin::tune(registry, base, levin::read_search_space(space), asha, look);
    std::printf(
        "{\"seed\": %lld, \"random_best\": %.17g, \"random_epochs\": %lld, \"asha_best\": %.17g, "
        "\"asha_epochs\": %lld}\n",
        static_cast<long long>(options.seed), goal, static_cast<long long>(all_epochs),
        found.best ? found.best->values[0] : NAN, static_cast<long long>(needed));
    std::fflush(stdout);
  }
  fs::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  const Registry registry = levin::shipped_classes();
  const std::string verb = argc > 1 ? words[1] : "";
  if (verb == "evaluate" && argc == 4) {
    evaluate_lines(registry, words[2], words[3]);
  } else if (verb == "search" && (argc == 8 || argc == 9)) {
    search(registry, words[2], words[3],
           {.metric = {words[4]},
            .trials = std::atoll(argv[7]),
            .sampler = words[5],
            .seed = argc == 9 ? std::atoll(argv[8]) : 0},
           std::atoll(argv[6]));
  } else if (verb == "asha" && (argc == 7 || argc == 8)) {
    compare_asha(registry, words[2], words[3],
                 {.metric = {words[4]},
                  .trials = std::atoll(argv[6]),
                  .seed = argc == 8 ? std::atoll(argv[7]) : 0},
                 std::atoll(argv[5]));
  } else {
    std::fprintf(stderr, "see the head of tuning_problems.cpp\n");
    return 2;
  }
  return 0;
}
