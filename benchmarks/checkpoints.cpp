// Measures what steps cost while checkpoints of a large model are written, by training itself and
// by a thread beside it (ModelCheckpoint's `asynchronous`). Both take turns with training that
// saves nothing.
//   checkpoints FOLDER [MB=400] [ROUNDS=5] [STEPS=600]
// The model has MB megabytes of frozen weights and a small net of two layers that is trained, so
// that a step takes some milliseconds. Each fit saves once, after a fourth of its steps. "Longest
// step" is the longest time between the ends of two steps, which contains the save. If a thread
// writes, the model is copied before training goes on, and the copy is a part of it. STEPS has to
// be so large that the thread is done before the fit is, which otherwise waits for it.
#include <levin/callbacks/lambda_callback.h>
#include <levin/levin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "measured_fit.h"

namespace {

namespace fs = std::filesystem;

enum class Saving { none, synchronous, asynchronous };

class LargeModel : public levin::Module {
 public:
  explicit LargeModel(int64_t megabytes)
      : first_(register_module("first", torch::nn::Linear(512, 512))),
        second_(register_module("second", torch::nn::Linear(512, 10))) {
    register_parameter("frozen", torch::ones({megabytes * 250'000}), /*requires_grad=*/false);
  }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step&) override {
    const auto hidden = torch::relu(first_(batch.input()));
    return torch::cross_entropy_loss(second_(hidden), batch.target());
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD({first_->weight, first_->bias, second_->weight, second_->bias},
                      {.learning_rate = 0.01});
  }

 private:
  torch::nn::Linear first_;
  torch::nn::Linear second_;
};

struct Times {
  double seconds = 0.0;  // of the whole fit
  double step = 0.0;     // the median
  double longest = 0.0;
};

Times measure(LargeModel& model, levin::DataModule& data, Saving saving, const fs::path& folder,
              int64_t steps) {
  levin::seed_everything(1);
  levin::Trainer trainer({.accelerator = "cpu",
                          .max_steps = steps,
                          .num_sanity_val_steps = 0,
                          .threads = 1,
                          .default_root_dir = folder.string()});
  std::vector<double> seconds;
  auto last = bench::Clock::now();
  trainer.add<levin::LambdaCallback>(
      {.on_train_start = [&](levin::Run&) { last = bench::Clock::now(); },
       .on_train_batch_end =
           [&](const torch::Tensor&, const levin::Batch&, levin::Step& step) {
             seconds.push_back(bench::seconds_since(last));
             last = bench::Clock::now();
             if (saving == Saving::none || step.global_step() != steps / 4) return;
             step.run().save(folder / "large.ckpt",
                             {.asynchronous = saving == Saving::asynchronous});
           }});
  const auto start = bench::Clock::now();
  trainer.fit(model, data);
  Times times;
  times.seconds = bench::seconds_since(start);
  times.step = bench::median(seconds);
  seconds.erase(seconds.begin(), seconds.begin() + std::ssize(seconds) / 5);  // the first are slow
  times.longest = *std::max_element(seconds.begin(), seconds.end());
  return times;
}

void print(const char* name, const std::vector<Times>& rounds, const std::vector<Times>& none) {
  std::vector<double> step, longest, more;
  for (size_t i = 0; i < rounds.size(); ++i) {
    step.push_back(1e3 * rounds[i].step);
    longest.push_back(1e3 * rounds[i].longest);
    more.push_back(1e3 * (rounds[i].seconds - none[i].seconds));
  }
  std::printf("%-22s %11.2f %16.1f %20.1f\n", name, bench::median(step), bench::median(longest),
              bench::median(more));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: checkpoints FOLDER [MB=400] [ROUNDS=5] [STEPS=600]\n");
    return 2;
  }
  const fs::path folder = argv[1];
  const int64_t megabytes = argc > 2 ? std::atoll(argv[2]) : 400;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  const int64_t steps = argc > 4 ? std::atoll(argv[4]) : 600;
  LargeModel model(megabytes);
  levin::ArrayDataModule data(torch::randn({2048, 512}), torch::randint(10, {2048}),
                              {.batch_size = 512, .val_split = 0.0, .test_split = 0.0});
  std::vector<Times> times[3];
  for (int round = 0; round < rounds; ++round) {
    for (int turn = 0; turn < 3; ++turn) {  // each round starts with a different one
      const int which = (round + turn) % 3;
      times[which].push_back(measure(model, data, static_cast<Saving>(which), folder, steps));
    }
  }
  fs::remove(folder / "large.ckpt");
  std::printf("a checkpoint of %lld MB; medians of %d rounds; in ms\n\n",
              static_cast<long long>(megabytes), rounds);
  std::printf("%-22s %11s %16s %20s\n", "", "median step", "longest step", "the fit is longer by");
  print("no checkpoint", times[0], times[0]);
  print("written by training", times[1], times[0]);
  print("written by a thread", times[2], times[0]);
  std::vector<double> thread, training;
  for (int round = 0; round < rounds; ++round) {
    thread.push_back(times[2][static_cast<size_t>(round)].longest);
    training.push_back(times[1][static_cast<size_t>(round)].longest);
  }
  const auto ratio = bench::ratio_of(thread, training);
  std::printf("\nlongest step, thread/training: %.3f (%.3f-%.3f)\n", ratio.median, ratio.low,
              ratio.high);
}
