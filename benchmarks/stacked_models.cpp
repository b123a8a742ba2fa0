// Measures how long 64 models of different learning rates take that are trained at once, against
// one of them: logistic regressions and nets on the digits data, in batches of 32 rows, with a
// validation after each epoch.
//
//   stacked_models [models] [epochs] [rounds] [regression|net|trials]
//
// Each round measures one model and then all of them. "training" is the training alone, without the
// start of a fit; "trials" are whole trials of a search in this process (levin::tune), with the
// loggers and checkpoints that it has by default. Prints a JSON object a line: what was trained,
// the median times in seconds, and the ratio's median, least and greatest of the rounds.

#include <levin/levin.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/tuning/batched/stacked_models.h>
#include <levin/tuning/trials/tune.h>

#include "measured_fit.h"

namespace {

namespace fs = std::filesystem;
using Make = std::function<std::unique_ptr<levin::Module>(double learning_rate)>;

double fit_of(levin::Module& module, levin::DataModule& data, int64_t epochs) {
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = epochs});
  const auto& clocked = trainer.add<bench::Clocked>();
  trainer.fit(module, data);
  return clocked.seconds;
}

double learning_rate_of(int64_t number) { return 1e-4 * static_cast<double>(1 + number); }

void print_ratio(const std::string& name, int64_t models, const std::vector<double>& alone,
                 const std::vector<double>& together) {
  const auto ratio = bench::ratio_of(together, alone);
  std::printf(
      "{\"name\": \"%s\", \"models\": %ld, \"alone\": %.5f, \"together\": %.5f, "
      "\"ratio\": %.3f, \"low\": %.3f, \"high\": %.3f}\n",
      name.c_str(), static_cast<long>(models), bench::median(alone), bench::median(together),
      ratio.median, ratio.low, ratio.high);
}

void measure(const std::string& name, const Make& make, int64_t models, int64_t epochs,
             int64_t rounds) {
  levin::DigitsDataModule data;
  std::vector<double> alone;
  std::vector<double> together;
  for (int64_t round = 0; round < rounds; ++round) {
    const auto one = make(learning_rate_of(10));
    alone.push_back(fit_of(*one, data, epochs));
    std::vector<levin::StackedModels::Maker> makers;
    for (int64_t k = 0; k < models; ++k) {
      makers.push_back([&make, k] { return make(learning_rate_of(k)); });
    }
    levin::StackedModels stacked(makers);
    together.push_back(fit_of(stacked, data, epochs));
  }
  print_ratio(name, models, alone, together);
}

/// The seconds from the end of `batch` trials that are trained at once to the end of the next ones,
/// so that what a search does at its start doesn't count. `folder` must be new: a file system may
/// take long to create files just after many were removed.
double seconds_of_trials(const fs::path& folder, int64_t batch, int64_t epochs) {
  fs::create_directories(folder);
  const auto base = levin::parse_yaml(
      "trainer: {max_epochs: " + std::to_string(epochs) +
          ", accelerator: cpu, num_sanity_val_steps: 0, default_root_dir: '" + folder.string() +
          "'}\nmodel: {class_path: LogisticRegression}\ndata: {class_path: DigitsDataModule}\n",
      "the benchmark");
  auto space = levin::SearchSpace::from_value(levin::Value::Object{
      {"model.learning_rate", levin::Value::Object{{"low", 1e-4}, {"high", 0.1}, {"log", true}}}});
  auto ended = bench::Clock::now();
  double seconds = 0.0;
  const auto result = levin::tune(levin::shipped_classes(), base, std::move(space),
                                  {.metric = {"val_loss"},
                                   .study = (folder / "study.log").string(),
                                   .trials = 2 * batch,
                                   .sampler = "random",
                                   .batch = batch},
                                  [&](const levin::Study&, const levin::Trial& trial) {
                                    if (trial.state != levin::TrialState::complete) std::abort();
                                    if (trial.number % batch != batch - 1) return;
                                    seconds = bench::seconds_since(ended);
                                    ended = bench::Clock::now();
                                  });
  if (!result.best) std::abort();
  return seconds;
}

void measure_trials(int64_t models, int64_t epochs, int64_t rounds) {
  const auto folder = fs::temp_directory_path() / ("levin_stacked_" + std::to_string(::getpid()));
  std::vector<double> alone;
  std::vector<double> together;
  for (int64_t round = 0; round < rounds; ++round) {
    const auto own = folder / std::to_string(round);
    alone.push_back(seconds_of_trials(own / "alone", 1, epochs));
    together.push_back(seconds_of_trials(own / "together", models, epochs));
  }
  fs::remove_all(folder);
  print_ratio("trials, regression, Adam", models, alone, together);
}

int64_t argument(int count, char** values, int place, int64_t otherwise) {
  return count > place ? std::atol(values[place]) : otherwise;
}

}  // namespace

int main(int count, char** values) {
  const int64_t models = argument(count, values, 1, 64);
  const int64_t epochs = argument(count, values, 2, 20);
  const int64_t rounds = argument(count, values, 3, 5);
  const std::string only = count > 4 ? values[4] : "";
  const auto wants = [&only](const char* part) { return only.empty() || only == part; };
  for (const char* optimizer : {"Adam", "SGD"}) {
    const auto name = [optimizer](const char* model) {
      return std::string("training, ") + model + ", " + optimizer;
    };
    const Make regression = [optimizer](double learning_rate) {
      return std::make_unique<levin::LogisticRegression>(
          levin::LogisticRegressionOptions{.learning_rate = learning_rate, .optimizer = optimizer});
    };
    if (wants("regression")) measure(name("regression"), regression, models, epochs, rounds);
    const Make net = [optimizer](double learning_rate) {
      return std::make_unique<levin::MLP>(levin::MLPOptions{
          .hidden_sizes = {32}, .learning_rate = learning_rate, .optimizer = optimizer});
    };
    if (wants("net")) measure(name("net of 32 units"), net, models, epochs, rounds);
  }
  if (wants("trials")) measure_trials(models, epochs, rounds);
}
