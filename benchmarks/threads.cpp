// Measures how well `threads = "auto"` chooses the number of threads. Whole fits with 1 thread,
// with all of LibTorch's threads, and with "auto" take turns. They train logistic regression and a
// wide MLP, on an idle machine and on one with a busy process on each core. The time of "auto"
// includes its trial.
//   threads [RUNS=10] [SECONDS=1.0] [LIMIT]
// The exit status is 1 if the median time of "auto" is more than LIMIT times that of the better
// fixed number of threads.
#include <levin/levin.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRows = 12'800;
constexpr int64_t kBatch = 128;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

/// Noise images of MNIST's size.
class Images : public levin::DataModule {
 public:
  Images()
      : data_(std::make_shared<levin::TensorDataset>(torch::rand({kRows, 784}),
                                                     torch::randint(10, {kRows}, torch::kLong))) {}
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = kBatch, .shuffle = true});
  }

 private:
  std::shared_ptr<levin::TensorDataset> data_;
};

/// Keeps every core busy with a process of its own. The processes end with this object or with this
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

/// Records the number of threads with which training ran.
class NoteThreads : public levin::Callback {
 public:
  struct Options {};
  explicit NoteThreads(Options) {}
  std::string state_key() const override { return "NoteThreads"; }
  void on_train_end(levin::Run&) override { threads = at::get_num_threads(); }
  int threads = 0;
};

std::unique_ptr<levin::Module> make_model(bool wide) {
  torch::manual_seed(1);
  if (!wide) {
    return std::make_unique<levin::LogisticRegression>(
        levin::LogisticRegressionOptions{.in_features = 784, .num_classes = 10});
  }
  return std::make_unique<levin::MLP>(
      levin::MLPOptions{.in_features = 784, .num_classes = 10, .hidden_sizes = {512, 512}});
}

struct Fit {
  double seconds;
  int threads;
};

Fit fit(bool wide, Images& data, int64_t steps, const levin::CountOrName& threads) {
  const auto model = make_model(wide);
  levin::Trainer trainer(
      {.accelerator = "cpu", .max_epochs = -1, .max_steps = steps, .threads = threads});
  const auto& note = trainer.add<NoteThreads>();
  const auto start = Clock::now();
  trainer.fit(*model, data);
  return {seconds_since(start), note.threads};
}

/// Runs the three kinds of fits in turns and prints a row of the table. Returns the median time of
/// "auto" divided by that of the better fixed number.
double compare(const char* load, bool wide, Images& data, int all, int runs, double seconds) {
  constexpr int64_t kTry = 200;
  const double tried = fit(wide, data, kTry, 1).seconds;
  const auto steps = std::max<int64_t>(kTry, static_cast<int64_t>(kTry * seconds / tried));
  std::vector<double> one, every, automatic;
  std::string chosen;
  for (int run = 0; run < runs; ++run) {
    one.push_back(fit(wide, data, steps, 1).seconds);
    every.push_back(fit(wide, data, steps, all).seconds);
    const Fit result = fit(wide, data, steps, "auto");
    automatic.push_back(result.seconds);
    chosen += " " + std::to_string(result.threads);
  }
  const double ratio = median(automatic) / std::min(median(one), median(every));
  const double us = 1e6 / static_cast<double>(steps);
  std::printf("%-5s %-20s %8lld %10.1f %10.1f %10.1f %12.3f  %s\n", load,
              wide ? "MLP 784-512-512-10" : "logistic regression", static_cast<long long>(steps),
              us * median(one), us * median(every), us * median(automatic), ratio, chosen.c_str());
  std::fflush(stdout);
  return ratio;
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 10;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1.0;
  const int all = at::get_num_threads();
  const char* policy = std::getenv("OMP_WAIT_POLICY");
  std::printf("%d runs each, in turns; all = %d threads; OMP_WAIT_POLICY=%s; us a step, medians\n",
              runs, all, policy != nullptr ? policy : "");
  std::printf("%-5s %-20s %8s %10s %10s %10s %12s  %s\n", "load", "model", "steps", "1", "all",
              "auto", "auto/better", "chosen");
  Images data;
  double worst = 0.0;
  for (const bool busy : {false, true}) {
    for (const bool wide : {false, true}) {
      const BusyMachine load(busy ? std::thread::hardware_concurrency() : 0);
      worst = std::max(worst, compare(busy ? "busy" : "idle", wide, data, all, runs, seconds));
    }
  }
  std::printf("worst: %.3f\n", worst);
  return argc > 3 && worst > std::atof(argv[3]) ? 1 : 0;
}
