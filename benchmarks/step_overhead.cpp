// What a Trainer costs a step: an empty training_step with every hook inside the step overridden,
// against an empty loop over the same reader, interleaved.
//   step_overhead [RUNS=20] [STEPS=100000] [LIMIT_US]     exit status 1 above LIMIT_US (the median)
#include <levin/levin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
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

class Empty : public levin::Module {
 public:
  explicit Empty(bool logs) : logs_(logs) { register_parameter("weight", value_); }
  torch::Tensor training_step(const levin::Batch&, levin::Step& step) override {
    if (logs_) step.log("value", value_);
    return {};
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.1});
  }

 private:
  torch::Tensor value_ = torch::zeros({});
  bool logs_;
};

class Hooked : public levin::Callback {
 public:
  struct Options {};
  explicit Hooked(Options) {}
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

double trainer_loop(Rows& data, int64_t steps, bool logs) {
  Empty model(logs);
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  trainer.add<Hooked>();
  const auto start = Clock::now();
  trainer.fit(model, data);
  return microseconds_since(start, steps);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const char* name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::printf("%-34s median %.3f us a step (min %.3f, max %.3f)\n", name, median(values),
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
  for (int i = 0; i < runs; ++i) {
    const double base = empty_loop(data, steps);
    loop.push_back(base);
    overhead.push_back(trainer_loop(data, steps, false) - base);
    with_log.push_back(trainer_loop(data, steps, true) - base);
  }
  std::printf("%d interleaved runs of %lld steps\n", runs, static_cast<long long>(steps));
  print("empty loop over the reader", loop);
  print("Trainer, empty training_step: adds", overhead);
  print("the same, one logged tensor: adds", with_log);
  if (argc > 3 && median(overhead) > std::atof(argv[3])) {
    std::printf("above the limit of %s us\n", argv[3]);
    return 1;
  }
}
