// Measures the time that the Trainer adds to a step if a callback overrides every hook inside the
// step. Fits take turns with an empty loop over the same reader, whose time is subtracted. There
// are two kinds of training_step: one returns nothing, so that the batch is skipped; the other
// returns a loss with an empty backward and an optimizer that does nothing, so that the whole step
// is executed except for LibTorch's work. Measures also what a row of one value in each step adds
// to that, for each logger that writes files, which includes collecting the row; what a progress
// bar adds, which writes to a file or to a terminal (/dev/null stands for both); and how long
// RandomSampler takes to permute the rows of MNIST for an epoch.
//   step_overhead [RUNS=20] [STEPS=100000]
// The loggers write to a folder in the system's folder for temporary files. The exit status is 1 if
// a hook wasn't called in every step.
#include <levin/levin.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

class Rows : public levin::DataModule {
 public:
  explicit Rows(int64_t steps)
      : data_(std::make_shared<levin::TensorDataset>(torch::zeros({steps, 4}),
                                                     torch::zeros({steps}, torch::kLong))) {}
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = 1});
  }

 private:
  std::shared_ptr<levin::TensorDataset> data_;
};

enum class Work { skipped, logged, whole, whole_logged };

/// Whether a step has a loss; without one, it isn't a step of the optimizer, nor a row for loggers.
bool is_whole(Work work) { return work == Work::whole || work == Work::whole_logged; }

/// An optimizer that calls the closure but updates nothing.
class NoOptimizer : public levin::Optimizer {
 public:
  explicit NoOptimizer(std::vector<torch::Tensor> parameters)
      : Optimizer(levin::single_group(std::move(parameters)), 0.1, 0.0) {}
  torch::Tensor step(const levin::Closure& closure) override { return closure(); }
  std::string name() const override { return "NoOptimizer"; }
  levin::StateDict state_dict() const override { return {}; }
  void load_state_dict(const levin::StateDict&) override {}
};

class Empty : public levin::Module {
 public:
  explicit Empty(Work work) : work_(work) { register_parameter("weight", weight_); }
  torch::Tensor training_step(const levin::Batch&, levin::Step& step) override {
    if (work_ == Work::logged || work_ == Work::whole_logged) step.log("value", value_);
    return is_whole(work_) ? loss_ : torch::Tensor();
  }
  void backward(const torch::Tensor&) override {}
  levin::Optimizers configure_optimizers() override {
    return levin::Optimizers(NoOptimizer(parameters()));
  }

 private:
  torch::Tensor weight_ = torch::zeros({});
  torch::Tensor value_ = torch::zeros({});
  torch::Tensor loss_ = torch::zeros({}).requires_grad_();
  Work work_;
};

class Hooked : public levin::Callback {
 public:
  struct Options {};
  explicit Hooked(Options) {}
  int64_t calls() const { return calls_; }
  std::string state_key() const override { return "Hooked"; }
  void on_train_batch_start(const levin::Batch&, levin::Step&) override { ++calls_; }
  void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step&) override {
    ++calls_;
  }
  void on_before_zero_grad(levin::Optimizer&, levin::Step&) override { ++calls_; }
  void on_before_backward(const torch::Tensor&, levin::Step&) override { ++calls_; }
  void on_after_backward(levin::Step&) override { ++calls_; }
  void on_before_optimizer_step(levin::Optimizer&, levin::Step&) override { ++calls_; }

 private:
  int64_t calls_ = 0;
};

double microseconds_since(Clock::time_point start, int64_t steps) {
  const std::chrono::duration<double, std::micro> spent = Clock::now() - start;
  return spent.count() / static_cast<double>(steps);
}

/// The milliseconds that each of `epochs` permutations took.
std::vector<double> permutations(int64_t rows, int epochs) {
  levin::RandomSampler sampler(rows, 1);
  std::vector<double> milliseconds;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const auto start = Clock::now();
    sampler.set_epoch(epoch);
    milliseconds.push_back(microseconds_since(start, 1) / 1e3);
  }
  return milliseconds;
}

double empty_loop(Rows& data, int64_t steps) {
  const auto loaders = data.train_dataloader();
  levin::Reader reader = loaders.front().open();
  levin::Batch batch;
  int64_t rows = 0;
  const auto start = Clock::now();
  while (reader.next(batch)) rows += batch.rows();
  const double result = microseconds_since(start, steps);
  if (rows != steps) std::abort();
  return result;
}

/// Adds a logger or a callback.
using Addition = std::function<void(levin::Trainer&)>;

/// A folder for the loggers' files, which is empty at the start of each fit.
std::filesystem::path log_folder() {
  return std::filesystem::temp_directory_path() /
         ("levin_step_overhead_" + std::to_string(::getpid()));
}

double trainer_loop(Rows& data, int64_t steps, Work work, const Addition& add = {},
                    int64_t log_every_n_steps = 50) {
  Empty model(work);
  levin::Trainer trainer({.accelerator = "cpu",
                          .max_epochs = 1,
                          .log_every_n_steps = log_every_n_steps,
                          .default_root_dir = log_folder().string()});
  if (add) add(trainer);
  auto& hooked = trainer.add<Hooked>();
  const auto start = Clock::now();
  trainer.fit(model, data);
  const double result = microseconds_since(start, steps);
  std::filesystem::remove_all(log_folder());
  const int64_t hooks = is_whole(work) ? 6 : 2;
  if (hooked.calls() != hooks * steps) {
    std::printf("%lld hooks were called in %lld steps\n", static_cast<long long>(hooked.calls()),
                static_cast<long long>(steps));
    std::exit(1);
  }
  return result;
}

void print(const char* name, std::vector<double> values, const char* unit = "us a step") {
  std::sort(values.begin(), values.end());
  std::printf("%-36s median %.3f %s (min %.3f, max %.3f)\n", name, values[values.size() / 2], unit,
              values.front(), values.back());
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 20;
  const int64_t steps = argc > 2 ? std::atoll(argv[2]) : 100'000;
  at::set_num_threads(1);
  Rows data(steps);
  std::vector<double> loop;
  std::vector<double> overhead;
  std::vector<double> with_log;
  std::vector<double> whole;
  // Each adds to a whole step with a logged tensor what a row for the logger costs.
  std::vector<std::pair<const char*, Addition>> loggers{
      {"its row in TensorBoard's file: adds",
       [](levin::Trainer& trainer) { trainer.add_logger<levin::TensorBoardLogger>(); }},
      {"its row as a line of JSON: adds",
       [](levin::Trainer& trainer) { trainer.add_logger<levin::JsonLinesLogger>(); }},
      {"its row of a CSV file: adds",
       [](levin::Trainer& trainer) { trainer.add_logger<levin::CsvLogger>(); }}};
  std::vector<std::vector<double>> rows(loggers.size());
  std::FILE* const out = std::fopen("/dev/null", "w");
  const auto bar = [out](bool live) {
    return [out, terminal = levin::Terminal{.live = live, .width = 120}](levin::Trainer& trainer) {
      trainer.add(std::make_unique<levin::ProgressBar>(levin::ProgressBarOptions{}, out, terminal),
                  levin::overridden_hooks<levin::ProgressBar>());
    };
  };
  const std::vector<std::pair<const char*, Addition>> bars{
      {"a progress bar in a file: adds", bar(false)},
      {"a progress bar on a terminal: adds", bar(true)}};
  std::vector<std::vector<double>> shown(bars.size());
  for (int i = 0; i < runs; ++i) {
    const double base = empty_loop(data, steps);
    loop.push_back(base);
    overhead.push_back(trainer_loop(data, steps, Work::skipped) - base);
    with_log.push_back(trainer_loop(data, steps, Work::logged) - base);
    const double logged = trainer_loop(data, steps, Work::whole_logged);
    for (size_t j = 0; j < loggers.size(); ++j) {
      rows[j].push_back(trainer_loop(data, steps, Work::whole_logged, loggers[j].second, 1) -
                        logged);
    }
    const double plain = trainer_loop(data, steps, Work::whole);
    whole.push_back(plain - base);
    for (size_t j = 0; j < bars.size(); ++j) {
      shown[j].push_back(trainer_loop(data, steps, Work::whole, bars[j].second) - plain);
    }
  }
  std::printf("%d interleaved runs of %lld steps\n", runs, static_cast<long long>(steps));
  print("empty loop over the reader", loop);
  print("Trainer, empty training_step: adds", overhead);
  print("the same, one logged tensor: adds", with_log);
  for (size_t j = 0; j < loggers.size(); ++j) print(loggers[j].first, rows[j]);
  print("a loss, all hooks, a step: adds", whole);
  for (size_t j = 0; j < bars.size(); ++j) print(bars[j].first, shown[j]);
  print("60,000 rows permuted in", permutations(60'000, runs), "ms");
}
