#pragma once

// What the benchmarks that measure fits share: a data set of MNIST's size, and the time of the
// training alone.
#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/threads.h>
#include <levin/levin.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "median.h"

namespace bench {

using Clock = std::chrono::steady_clock;

constexpr int64_t kFeatures = 784;
constexpr int64_t kClasses = 10;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The quotients of what two programs took in the same rounds: the median, the smallest and the
/// largest.
struct Ratio {
  double median, low, high;
};

inline Ratio ratio_of(const std::vector<double>& over, const std::vector<double>& under) {
  std::vector<double> quotients;
  for (size_t round = 0; round < over.size(); ++round) {
    quotients.push_back(over[round] / under[round]);
  }
  const auto [low, high] = std::minmax_element(quotients.begin(), quotients.end());
  return {median(quotients), *low, *high};
}

/// Images of MNIST's shape, most of whose pixels are 0, shuffled anew in each epoch. Each class has
/// a pattern, which noise hides in part, so that training neither ends nor comes to a standstill.
/// Floats lie in huge pages and bytes don't, as those of MNISTDataModule.
class Images : public levin::DataModule {
 public:
  /// `as_bytes`: each pixel is a byte that stands for a number in [0, 1]; otherwise it is a
  /// float32.
  explicit Images(int64_t rows, bool as_bytes = false) {
    torch::manual_seed(1);
    const auto labels = torch::randint(kClasses, {rows}, torch::kLong);
    const auto patterns = torch::rand({kClasses, kFeatures}).lt(0.2).to(torch::kFloat);
    auto images = 0.7 * patterns.index_select(0, labels) +
                  torch::rand({rows, kFeatures}).lt(0.2).to(torch::kFloat);
    images.clamp_max_(1.0);
    auto stored = as_bytes ? images.mul_(255.0).to(torch::kByte)
                           : levin::empty_in_huge_pages(images.sizes(), torch::kFloat);
    if (!as_bytes) stored.copy_(images);
    data_ = std::make_shared<levin::TensorDataset>(stored, labels);
    if (as_bytes) data_->set_scale("input", {.scale = 1.0F / 255.0F});
  }
  void set_batch_size(int64_t size) { batch_size_ = size; }
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = batch_size_, .shuffle = true});
  }

 private:
  int64_t batch_size_ = 0;
  std::shared_ptr<levin::TensorDataset> data_;
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

/// Returns a classifier of images, with the given hidden layers.
inline std::unique_ptr<levin::Module> make_model(const std::vector<int64_t>& hidden_sizes) {
  torch::manual_seed(1);
  if (hidden_sizes.empty()) {
    return std::make_unique<levin::LogisticRegression>(
        levin::LogisticRegressionOptions{.in_features = kFeatures, .num_classes = kClasses});
  }
  return std::make_unique<levin::MLP>(levin::MLPOptions{
      .in_features = kFeatures, .num_classes = kClasses, .hidden_sizes = hidden_sizes});
}

/// Trains a new model for `steps` steps on the CPU. Returns the seconds that the training took,
/// with the trial of `threads` = "auto" if there is one.
inline double fit_seconds(const std::vector<int64_t>& hidden_sizes, Images& data, int64_t steps,
                          const levin::CountOrName& threads) {
  const auto module = make_model(hidden_sizes);
  levin::Trainer trainer(
      {.accelerator = "cpu", .max_epochs = -1, .max_steps = steps, .threads = threads});
  const auto& clocked = trainer.add<Clocked>();
  const auto started = Clock::now();
  trainer.fit(*module, data);
  const bool has_trial = levin::wants_thread_trial(threads);
  return has_trial ? seconds_since(started) : clocked.seconds;
}

/// Returns a number of steps that take about `seconds` on one thread.
inline int64_t steps_in(double seconds, const std::vector<int64_t>& hidden_sizes, Images& data) {
  constexpr int64_t kTry = 30;
  const double tried = fit_seconds(hidden_sizes, data, kTry, 1);
  return std::max<int64_t>(kTry, static_cast<int64_t>(kTry * seconds / tried));
}

}  // namespace bench
