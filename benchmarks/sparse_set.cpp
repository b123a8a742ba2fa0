// Measures what Levin does with the files of the benchmarks' sparse set (baselines/sparse_set.py),
// for
// ./run bench sparse.
//
//   sparse_set parse FILE       reads libsvm text, with all checks
//   sparse_set online FOLDER    learns from each row of train.npz once, by online Adagrad
//   sparse_set batches FOLDER   the same by Adagrad in batches of 1,024 rows
//   sparse_set gradient FOLDER  computes the objective and its gradient over all rows, some times
//
// The training is a fit of the Trainer, of which the epoch is timed, without reading the file. The
// output is a line of JSON: "rows", "seconds" and, of parse, "bytes" of the file and "grown_bytes",
// by which the process grew, at the most; of the others "processor_seconds", which other programs
// on the machine prolong less; of online and batches "test_loss", the log-loss of test.npz.

#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_npz.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/levin.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "median.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The seconds that all threads of the process have run.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// The bytes of memory that the process has now.
int64_t resident_bytes() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// The most that it has had.
int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void parse(const std::filesystem::path& file) {
  const int64_t before = resident_bytes();
  const auto start = Clock::now();
  const auto rows = levin::readers::read_sparse_libsvm({file});
  const double seconds = seconds_since(start);
  std::printf("{\"rows\": %lld, \"seconds\": %.6f, \"bytes\": %lld, \"grown_bytes\": %lld}\n",
              static_cast<long long>(rows.rows()), seconds,
              static_cast<long long>(std::filesystem::file_size(file)),
              static_cast<long long>(peak_bytes() - before));
}

levin::SparseDataModule training_rows(const std::string& folder, int64_t batch_size) {
  levin::SparseDataModule data(
      {.train = {folder + "/train.npz"}, .batch_size = batch_size, .shuffle = false});
  data.prepare_data();
  data.setup(levin::Stage::fit);
  return data;
}

/// Times the epoch.
class EpochClock : public levin::Callback {
 public:
  void on_train_epoch_start(levin::Run&) override {
    start_ = Clock::now();
    used_ = processor_seconds();
  }
  void on_train_epoch_end(levin::Run&) override {
    seconds = seconds_since(start_);
    of_processors = processor_seconds() - used_;
  }
  double seconds = 0.0;
  double of_processors = 0.0;

 private:
  Clock::time_point start_;
  double used_ = 0.0;
};

/// The mean log-loss of the rows of a file.
double log_loss(levin::LogisticRegression& model, const std::filesystem::path& file) {
  const auto rows = levin::readers::read_sparse_npz(file);
  const auto parameters = model.named_parameters();
  const auto weight = parameters["linear.weight"].detach().contiguous();
  const float* weights = weight.const_data_ptr<float>();
  const double bias = parameters["linear.bias"].item<double>();
  double sum = 0.0;
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const auto row = static_cast<size_t>(r);
    double z = bias;
    for (auto k = rows.offsets[row]; k < rows.offsets[row + 1]; ++k) {
      z += static_cast<double>(weights[rows.indices[static_cast<size_t>(k)]]);
    }
    sum += std::log1p(std::exp(rows.targets[row] > 0.5F ? -z : z));
  }
  return sum / static_cast<double>(rows.rows());
}

void learn(const std::string& folder, bool by_batches) {
  auto data = training_rows(folder, 1024);
  const auto rows = data.train_dataloader().front().dataset().size().value();
  levin::LogisticRegression model({.in_features = data.columns(), .num_classes = 2});
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .threads = 1});
  trainer.set_optimizers([=](levin::Module& module) -> levin::Optimizers {
    return levin::OnlineAdagrad(module.parameters(), {.learning_rate = by_batches ? 0.05 : 0.1,
                                                      .rows_a_step = by_batches ? 0 : 1});
  });
  const auto& clock = trainer.add<EpochClock>();
  trainer.fit(model, data);
  std::printf(
      "{\"rows\": %lld, \"seconds\": %.6f, \"processor_seconds\": %.6f, \"test_loss\": %.6f}\n",
      static_cast<long long>(rows), clock.seconds, clock.of_processors,
      log_loss(model, folder + "/test.npz"));
}

/// All rows as one batch, as a solver gets those that are in memory.
class OneBatch final : public levin::RowSource {
 public:
  explicit OneBatch(const levin::DataLoader& loader) {
    const auto memory = levin::find_in_memory(loader.shared_dataset());
    for (const auto& [name, rows] : memory.tensors->entries()) batch_.set(name, rows);
  }
  void pass(c10::function_ref<void(const levin::Batch&)> use) override { use(batch_); }
  void sum(torch::Tensor& /*values*/) override {}

 private:
  levin::Batch batch_;
};

void compute_gradients(const std::string& folder) {
  constexpr int kTimes = 5;
  auto data = training_rows(folder, 1024);
  const auto loader = data.train_dataloader().front();
  OneBatch rows(loader);
  levin::LogisticRegression model(
      {.in_features = data.columns(), .num_classes = 2, .l2_strength = 1e-5});
  const torch::NoGradGuard no_grad;
  levin::LinearObjective objective(rows, model.linear_loss().value(), model.parameters());
  const auto point = torch::full({objective.size()}, 0.01, torch::kDouble);
  const auto gradient = torch::empty_like(point);
  std::vector<double> seconds, of_processors;
  for (int time = 0; time <= kTimes; ++time) {
    const auto start = Clock::now();
    const double used = processor_seconds();
    objective.evaluate(point, gradient);
    if (time == 0) continue;  // the first one looks at all targets, and numbers the columns anew
    seconds.push_back(seconds_since(start));
    of_processors.push_back(processor_seconds() - used);
  }
  std::printf("{\"rows\": %lld, \"seconds\": %.6f, \"processor_seconds\": %.6f}\n",
              static_cast<long long>(loader.dataset().size().value()), bench::median(seconds),
              bench::median(of_processors));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc == 3 ? argv[1] : "";
    if (what == "parse") {
      parse(argv[2]);
    } else if (what == "online" || what == "batches") {
      learn(argv[2], what == "batches");
    } else if (what == "gradient") {
      compute_gradients(argv[2]);
    } else {
      throw std::invalid_argument("usage: sparse_set parse FILE | online|batches|gradient FOLDER");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sparse_set: %s\n", error.what());
    return 1;
  }
}
