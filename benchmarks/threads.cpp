// Measures the default number of threads, for which a user sets nothing, beside 1 thread, all of
// LibTorch's threads and "auto". Whole fits with the four settings take turns. They train logistic
// regression and an MLP with batches of 32 to 4,096 rows, on an idle machine and on one where other
// processes keep half of the cores busy. The time of "auto" includes its trial.
//   threads [ROUNDS=25] [SECONDS=0.4] [LIMIT]
// Only fits of one round are compared with each other, because the speed of a machine changes with
// the minutes. default/better is the larger of the medians, over the rounds, of the default's time
// divided by that of 1 thread, and by that of all threads. The exit status is 1 if it is more than
// LIMIT in a row of the table.
#include <levin/framework/threads/threads.h>
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

constexpr int64_t kRows = 16'384;
constexpr int64_t kFeatures = 784;
constexpr int64_t kClasses = 10;
constexpr int64_t kBatches[] = {32, 64, 128, 512, 4096};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

/// Images of MNIST's size, most of whose pixels are 0. Each class has a pattern, which noise hides
/// in part, so that training neither ends nor comes to a standstill.
class Images : public levin::DataModule {
 public:
  Images() {
    torch::manual_seed(1);
    const auto labels = torch::randint(kClasses, {kRows}, torch::kLong);
    const auto patterns = torch::rand({kClasses, kFeatures}).lt(0.2).to(torch::kFloat);
    const auto images = 0.7 * patterns.index_select(0, labels) +
                        torch::rand({kRows, kFeatures}).lt(0.2).to(torch::kFloat);
    data_ = std::make_shared<levin::TensorDataset>(images.clamp_max(1.0), labels);
  }
  void set_batch_size(int64_t size) { batch_size_ = size; }
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = batch_size_, .shuffle = true});
  }

 private:
  int64_t batch_size_ = 0;
  std::shared_ptr<levin::TensorDataset> data_;
};

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

/// Measures the time of the training, without the start of a fit.
class Clocked : public levin::Callback {
 public:
  void on_train_start(levin::Run&) override { started_ = Clock::now(); }
  void on_train_end(levin::Run&) override { seconds = seconds_since(started_); }
  double seconds = 0.0;

 private:
  Clock::time_point started_;
};

enum class Model { logistic_regression, mlp };

const char* name_of(Model model) {
  return model == Model::mlp ? "MLP 784-128-10" : "logistic regression";
}

std::unique_ptr<levin::Module> make(Model model) {
  torch::manual_seed(1);
  if (model == Model::logistic_regression) {
    return std::make_unique<levin::LogisticRegression>(
        levin::LogisticRegressionOptions{.in_features = kFeatures, .num_classes = kClasses});
  }
  return std::make_unique<levin::MLP>(
      levin::MLPOptions{.in_features = kFeatures, .num_classes = kClasses, .hidden_sizes = {128}});
}

/// Returns the seconds of `steps` steps.
double fit(Model model, Images& data, int64_t steps, const levin::CountOrName& threads) {
  const auto module = make(model);
  levin::Trainer trainer(
      {.accelerator = "cpu", .max_epochs = -1, .max_steps = steps, .threads = threads});
  const auto& clocked = trainer.add<Clocked>();
  const auto started = Clock::now();
  trainer.fit(*module, data);
  const bool has_trial = levin::wants_thread_trial(threads);
  return has_trial ? seconds_since(started) : clocked.seconds;
}

/// The quotients of the times of one round: the median, the smallest and the largest.
struct Ratio {
  double median, low, high;
};

Ratio ratio_of(const std::vector<double>& over, const std::vector<double>& under) {
  std::vector<double> quotients;
  for (size_t round = 0; round < over.size(); ++round) {
    quotients.push_back(over[round] / under[round]);
  }
  const auto [low, high] = std::minmax_element(quotients.begin(), quotients.end());
  return {median(quotients), *low, *high};
}

/// Runs the kinds of fits in turns, each round beginning with another one, and prints a row of the
/// table. Returns the default's time divided by that of the better of 1 and all threads.
double compare(const char* load, Model model, int64_t batch_size, Images& data, int all, int rounds,
               double seconds) {
  constexpr int64_t kTry = 30;
  constexpr int kKinds = 4;
  data.set_batch_size(batch_size);
  const double tried = fit(model, data, kTry, 1);
  const auto steps = std::max<int64_t>(kTry, static_cast<int64_t>(kTry * seconds / tried));
  const levin::CountOrName settings[kKinds] = {"", 1, all, "auto"};
  std::vector<double> times[kKinds];
  for (int round = 0; round < rounds; ++round) {
    for (int turn = 0; turn < kKinds; ++turn) {
      const int kind = (round + turn) % kKinds;
      times[kind].push_back(fit(model, data, steps, settings[kind]));
    }
  }
  const double us = 1e6 / static_cast<double>(steps);
  const auto to_one = ratio_of(times[0], times[1]);
  const auto to_all = ratio_of(times[0], times[2]);
  const auto& ratio = to_one.median > to_all.median ? to_one : to_all;
  std::printf("%-5s %-20s %6lld %10.1f %10.1f %10.1f %10.1f %10.3f (%.3f-%.3f)\n", load,
              name_of(model), static_cast<long long>(batch_size), us * median(times[0]),
              us * median(times[1]), us * median(times[2]), us * median(times[3]), ratio.median,
              ratio.low, ratio.high);
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
  Images data;
  double worst = 0.0;
  for (const bool busy : {false, true}) {
    for (const auto model : {Model::logistic_regression, Model::mlp}) {
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
