// Measures how good the best trial of each searcher is, on functions whose minimum is known.
//   tuning_search [SEEDS=20] [TRIALS=100]
// Prints a line of JSON for each function, searcher and seed: the best value of TRIALS trials that
// run one after another, and the milliseconds that a trial took to choose, the last one of them and
// on average. baselines/optuna_search.py prints the same of Optuna; ./run bench tuning runs both.
#include <levin/tuning/samplers/tpe_searcher.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/tuning/samplers/cma_es_searcher.h>
#include <levin/tuning/samplers/simple_searchers.h>

namespace {

using levin::ParameterValues;
using levin::Searcher;
using levin::SearchSpace;
using levin::Value;

struct Problem {
  std::string name;
  SearchSpace space;
  std::function<double(const ParameterValues&)> loss;
};

Value range_of(double low, double high) { return Value::Object{{"low", low}, {"high", high}}; }

double sphere(const ParameterValues& x) {
  double sum = 0.0;
  for (const auto& [name, value] : x) sum += std::pow(value - 1.0, 2.0);
  return sum;
}

double branin(const ParameterValues& x) {
  constexpr double kPi = 3.14159265358979323846;
  const double a = x.at("x0");
  const double b = x.at("x1");
  const double inner = b - 5.1 / (4.0 * kPi * kPi) * a * a + 5.0 / kPi * a - 6.0;
  return inner * inner + 10.0 * (1.0 - 1.0 / (8.0 * kPi)) * std::cos(a) + 10.0;
}

double hartmann6(const ParameterValues& x) {
  static const double kAlpha[4] = {1.0, 1.2, 3.0, 3.2};
  static const double kA[4][6] = {{10, 3, 17, 3.5, 1.7, 8},
                                  {0.05, 10, 17, 0.1, 8, 14},
                                  {3, 3.5, 1.7, 10, 17, 8},
                                  {17, 8, 0.05, 10, 0.1, 14}};
  static const double kP[4][6] = {{1312, 1696, 5569, 124, 8283, 5886},
                                  {2329, 4135, 8307, 3736, 1004, 9991},
                                  {2348, 1451, 3522, 2883, 3047, 6650},
                                  {4047, 8828, 8732, 5743, 1091, 381}};
  double sum = 0.0;
  for (int i = 0; i < 4; ++i) {
    double inner = 0.0;
    for (int j = 0; j < 6; ++j) {
      inner += kA[i][j] * std::pow(x.at("x" + std::to_string(j)) - 1e-4 * kP[i][j], 2.0);
    }
    sum -= kAlpha[i] * std::exp(-inner);
  }
  return sum;
}

/// A logarithmic rate, choices, steps and a range of ints, which depend on each other.
double mixed(const ParameterValues& x) {
  const double kind = x.at("kind");
  const double rate = std::log10(x.at("rate"));
  const double best_rate = kind == 1.0 ? -2.0 : -3.5;
  return std::pow(rate - best_rate, 2.0) + (kind == 1.0 ? 0.0 : 0.5) +
         0.05 * std::fabs(x.at("width") - 40.0) / 8.0 + std::pow(x.at("drop") - 0.3, 2.0);
}

std::vector<Problem> problems() {
  const auto box = [](int count, double low, double high) {
    Value space = Value::Object{};
    for (int i = 0; i < count; ++i) space["x" + std::to_string(i)] = range_of(low, high);
    return SearchSpace::from_value(space);
  };
  Value two = Value::Object{{"x0", range_of(-5.0, 10.0)}, {"x1", range_of(0.0, 15.0)}};
  Value many = Value::Object{{"drop", Value::Object{{"low", 0.0}, {"high", 0.8}, {"step", 0.1}}},
                             {"kind", Value::Array{"sgd", "adam", "lbfgs"}},
                             {"rate", Value::Object{{"low", 1e-5}, {"high", 1.0}, {"log", true}}},
                             {"width", Value::Object{{"low", 1}, {"high", 256}, {"log", true}}}};
  return {{"sphere", box(5, -5.0, 10.0), sphere},
          {"branin", SearchSpace::from_value(two), branin},
          {"hartmann6", box(6, 0.0, 1.0), hartmann6},
          {"mixed", SearchSpace::from_value(many), mixed}};
}

std::unique_ptr<Searcher> make_searcher(const std::string& name, const SearchSpace& space,
                                        uint64_t seed) {
  if (name == "random") return std::make_unique<levin::RandomSearcher>(space, seed);
  if (name == "sobol") return std::make_unique<levin::SobolSearcher>(space, seed);
  if (name == "cma_es") return std::make_unique<levin::CmaEsSearcher>(space, seed);
  levin::TpeOptions options{.seed = seed};
  if (name == "tpe_independent") options.multivariate = false;
  if (name == "tpe_lag_4") options.lag = 4;
  return std::make_unique<levin::TpeSearcher>(space, options);
}

void run(const Problem& problem, const std::string& name, uint64_t seed, int64_t trials) {
  const auto searcher = make_searcher(name, problem.space, seed);
  levin::Study study;
  study.directions = {levin::StudyDirection::minimize};
  double best = INFINITY;
  double all = 0.0;
  double last = 0.0;
  for (int64_t number = 0; number < trials; ++number) {
    const auto begin = std::chrono::steady_clock::now();
    const auto suggestion = searcher->suggest(study, number);
    last =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    all += last;
    levin::Trial trial;
    trial.id = trial.number = number;
    trial.state = levin::TrialState::complete;
    trial.parameters = suggestion->parameters;
    trial.system_attributes = suggestion->system_attributes;
    for (const auto& [parameter, value] : trial.parameters) {
      trial.distributions.emplace(parameter, problem.space.find(parameter)->distribution);
    }
    trial.values = {problem.loss(trial.parameters)};
    best = std::min(best, trial.values[0]);
    study.trials.push_back(trial);
  }
  std::printf(
      "{\"function\": \"%s\", \"searcher\": \"%s\", \"seed\": %llu, \"best\": %.17g, "
      "\"milliseconds\": %.4f, \"last_milliseconds\": %.4f}\n",
      problem.name.c_str(), name.c_str(), static_cast<unsigned long long>(seed), best,
      all / static_cast<double>(trials), last);
}

}  // namespace

int main(int argc, char** argv) {
  const int seeds = argc > 1 ? std::atoi(argv[1]) : 20;
  const int trials = argc > 2 ? std::atoi(argv[2]) : 100;
  for (const Problem& problem : problems()) {
    for (const char* name : {"random", "sobol", "tpe", "tpe_independent", "tpe_lag_4", "cma_es"}) {
      for (int seed = 0; seed < seeds; ++seed) {
        run(problem, name, static_cast<uint64_t>(seed), trials);
      }
    }
  }
  return 0;
}
