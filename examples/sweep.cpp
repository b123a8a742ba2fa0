// Sweeps over the width, depth, learning rate and batch size of an MLP on handwritten digits, and
// prints a table of all 16 combinations, the best ones first.
//   sweep
//
// Each run has a folder of its own below levin_logs/, for `levin plot levin_logs/version_*`.
// Succeeds if the combination that is best in validation classifies at least 90 % of the test rows.
#include <levin/levin.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

struct Trial {
  std::vector<int64_t> hidden_sizes;
  double learning_rate;
  int64_t batch_size;
  double val_acc = 0.0;
  double test_acc = 0.0;
};

std::vector<Trial> grid() {
  std::vector<Trial> trials;
  for (const int64_t width : {8, 32}) {
    for (const size_t depth : {1U, 2U}) {
      for (const double learning_rate : {1e-3, 1e-2}) {
        for (const int64_t batch_size : {32, 128}) {
          trials.push_back({std::vector<int64_t>(depth, width), learning_rate, batch_size});
        }
      }
    }
  }
  return trials;
}

// Trains with the settings of the trial, and notes how good the result is.
void run(Trial& trial) {
  levin::seed_everything(42);  // all trials begin with the same numbers and the same split
  levin::DigitsDataModule data({.batch_size = trial.batch_size});
  levin::MLP model({.hidden_sizes = trial.hidden_sizes, .learning_rate = trial.learning_rate});
  levin::Trainer trainer({.max_epochs = 8, .log_every_n_steps = 10});
  trainer.add_logger<levin::CsvLogger>();
  trial.val_acc = trainer.fit(model, data).last("val_acc");
  trial.test_acc = trainer.test(model, data).at("test_acc");
}

int main() try {
  auto trials = grid();
  for (auto& trial : trials) run(trial);
  std::stable_sort(trials.begin(), trials.end(),
                   [](const Trial& a, const Trial& b) { return a.val_acc > b.val_acc; });
  std::printf("width  depth  learning rate  batch size  val_acc  test_acc\n");
  for (const auto& trial : trials) {
    std::printf("%5lld  %5zu  %13g  %10lld  %7.3f  %8.3f\n",
                static_cast<long long>(trial.hidden_sizes[0]), trial.hidden_sizes.size(),
                trial.learning_rate, static_cast<long long>(trial.batch_size), trial.val_acc,
                trial.test_acc);
  }
  return trials.front().test_acc >= 0.9 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
