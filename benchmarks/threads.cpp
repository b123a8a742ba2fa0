// Measures the default number of threads, for which a user sets nothing, beside 1 thread, all of
// LibTorch's threads and "auto". Whole fits with the four settings take turns. They train logistic
// regression and an MLP with batches of 32 to 4,096 rows, on an idle machine and on one where other
// processes keep half of the cores busy. The time of "auto" includes its trial.
//   threads [ROUNDS=25] [SECONDS=0.4] [LIMIT]
// Only fits of one round are compared with each other, because the speed of a machine changes with
// the minutes. default/better is the larger of the medians, over the rounds, of the default's time
// divided by that of 1 thread, and by that of all threads. The exit status is 1 if it is more than
// LIMIT in a row of the table.
#include <levin/levin.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measured_fit.h"

namespace {

constexpr int64_t kRows = 16'384;
constexpr int64_t kBatches[] = {32, 64, 128, 512, 4096};

/// Keeps cores busy with a process for each. The processes end with this object or with this
/// process.
class BusyMachine {
 public:
  explicit BusyMachine(unsigned processes) {
    for (unsigned i = 0; i < processes; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (volatile uint64_t turns = 0;;) turns = turns + 1;
      }
      if (child > 0) children_.push_back(child);
    }
  }
  ~BusyMachine() {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  BusyMachine(const BusyMachine&) = delete;
  BusyMachine& operator=(const BusyMachine&) = delete;

 private:
  std::vector<pid_t> children_;
};

struct Model {
  const char* name;
  std::vector<int64_t> hidden_sizes;
};

/// Runs the kinds of fits in turns, each round beginning with another one, and prints a row of the
/// table. Returns the default's time divided by that of the better of 1 and all threads.
double compare(const char* load, const Model& model, int64_t batch_size, bench::Images& data,
               int all, int rounds, double seconds) {
  constexpr int kKinds = 4;
  data.set_batch_size(batch_size);
  const int64_t steps = bench::steps_in(seconds, model.hidden_sizes, data);
  const levin::CountOrName settings[kKinds] = {"", 1, all, "auto"};
  std::vector<double> times[kKinds];
  for (int round = 0; round < rounds; ++round) {
    for (int turn = 0; turn < kKinds; ++turn) {
      const int kind = (round + turn) % kKinds;
      times[kind].push_back(bench::fit_seconds(model.hidden_sizes, data, steps, settings[kind]));
    }
  }
  const double us = 1e6 / static_cast<double>(steps);
  const auto to_one = bench::ratio_of(times[0], times[1]);
  const auto to_all = bench::ratio_of(times[0], times[2]);
  const auto& ratio = to_one.median > to_all.median ? to_one : to_all;
  std::printf("%-5s %-20s %6lld %10.1f %10.1f %10.1f %10.1f %10.3f (%.3f-%.3f)\n", load, model.name,
              static_cast<long long>(batch_size), us * bench::median(times[0]),
              us * bench::median(times[1]), us * bench::median(times[2]),
              us * bench::median(times[3]), ratio.median, ratio.low, ratio.high);
  std::fflush(stdout);
  return ratio.median;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 25;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.4;
  const int all = at::get_num_threads();
  const unsigned cores = std::thread::hardware_concurrency();
  const char* policy = std::getenv("OMP_WAIT_POLICY");
  std::printf(
      "%d rounds of a fit each; %u cores; all = %d threads; OMP_WAIT_POLICY=%s; us a step, "
      "medians\n",
      rounds, cores, all, policy != nullptr ? policy : "");
  std::printf("%-5s %-20s %6s %10s %10s %10s %10s %s\n", "load", "model", "batch", "default", "1",
              "all", "auto", "default/better");
  bench::Images data(kRows);
  const Model models[] = {{"logistic regression", {}}, {"MLP 784-128-10", {128}}};
  double worst = 0.0;
  for (const bool busy : {false, true}) {
    for (const auto& model : models) {
      for (const int64_t batch_size : kBatches) {
        const BusyMachine load(busy ? std::max(1U, cores / 2) : 0);
        worst = std::max(
            worst, compare(busy ? "busy" : "idle", model, batch_size, data, all, rounds, seconds));
      }
    }
  }
  std::printf("worst: %.3f\n", worst);
  return argc > 3 && worst > std::atof(argv[3]) ? 1 : 0;
}
