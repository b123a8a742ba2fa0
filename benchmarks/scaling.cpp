// Measures how much faster two ranks train than one, and estimates the same for more ranks. A wide
// MLP (784-512-512-10) is trained on images of MNIST's size with one thread for each rank: by Levin
// on one rank (single_device and ddp) and on two, and by a hand-written program that uses the same
// c10d Reducer (baselines/raw_ddp.cpp). All of them take turns.
//   scaling [ROUNDS=5] [EPOCHS=8]
//
// For the estimate, this model of the time of a step with n ranks and b rows on each is fitted to
// steps of several sizes and extrapolated to 1,024 ranks:
//   k * (base + row * b) + e * c * 2 (n - 1) * (latency + bytes / (c * n * bandwidth))
// - base and row are fitted to the steps of one rank.
// - k is the factor by which a rank computes more slowly while another rank runs beside it, without
//   communication.
// - latency and bandwidth are fitted to ring all-reduces of two ranks that do nothing else.
// - c is the number of buckets.
// - e is the share of the communication that isn't hidden behind computation. It is fitted to the
//   steps of two ranks.
#include <levin/framework/core/counted.h>
#include <levin/framework/launch/launcher.h>
#include <levin/levin.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "median.h"

namespace {

namespace fs = std::filesystem;
using bench::median;

constexpr int64_t kParameters = 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10;
constexpr double kGradientBytes = 4.0 * kParameters;
constexpr double kBuckets = 2;  // one of 1 MiB, and one with the rest

// --- training one rank with Levin --------------------------------------------------------------

struct Job {
  std::string program;  // Levin's: "single_device", "ddp", "profiled"; raw_ddp's: "hand" and so on
  int ranks = 1;
  int64_t size = 128;  // rows on each rank, or bytes for "all_reduce"
  int64_t steps = 50;
  int64_t epochs = 8;
};

class Images : public levin::DataModule {
 public:
  Images(int64_t rows, int64_t batch_size)
      : batch_size_(batch_size),
        data_(std::make_shared<levin::TensorDataset>(torch::rand({rows, 784}),
                                                     torch::randint(10, {rows}, torch::kLong))) {}
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = batch_size_, .shuffle = true});
  }

 private:
  int64_t batch_size_;
  std::shared_ptr<levin::TensorDataset> data_;
};

class Epochs : public levin::Callback {
 public:
  struct Options {};
  explicit Epochs(Options) {}
  std::string state_key() const override { return "Epochs"; }
  void on_train_epoch_start(levin::Run&) override { start_ = Clock::now(); }
  void on_train_epoch_end(levin::Run&) override {
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start_).count());
  }
  std::vector<double> seconds;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

int train(const fs::path& output, const Job& job) {
  levin::seed_everything(1);
  const char* world = std::getenv("WORLD_SIZE");
  const int64_t ranks = world != nullptr ? std::atoll(world) : 1;
  Images data(job.size * job.steps * ranks, job.size);
  levin::MLP model({.in_features = 784, .num_classes = 10, .hidden_sizes = {512, 512}});
  levin::Trainer trainer({.accelerator = "cpu",
                          .strategy = job.program == "single_device" ? "single_device" : "ddp",
                          .max_epochs = job.epochs,
                          .threads = 1});
  if (job.program == "profiled") {
    trainer.set_profiler(std::make_unique<levin::SimpleProfiler>(stdout));
  }
  const auto& epochs = trainer.add<Epochs>();
  trainer.fit(model, data);
  if (!trainer.run().is_global_zero()) return 0;
  std::ofstream file(output);
  for (const double value : epochs.seconds) file << value << '\n';
  return 0;
}

// --- starting the ranks ------------------------------------------------------------------------

/// Runs the ranks of a job. Returns the microseconds for a step, as the median over all epochs
/// except the first.
double run(const fs::path& folder, const Job& job) {
  const fs::path own = fs::read_symlink("/proc/self/exe");
  const fs::path output = folder / "epochs";
  const std::string size = std::to_string(job.size), steps = std::to_string(job.steps),
                    epochs = std::to_string(job.epochs);
  const bool is_ours =
      job.program == "single_device" || job.program == "ddp" || job.program == "profiled";
  levin::LaunchOptions options{.processes = job.ranks};
  if (is_ours) {
    options.command = {own.string(), "--rank", output.string(), job.program, size, steps, epochs};
  } else {
    const std::string mode = job.program == "hand" ? "ddp" : job.program;
    options.command = {
        (own.parent_path() / "raw_ddp").string(), output.string(), mode, size, steps, epochs};
  }
  std::fflush(nullptr);
  if (const int status = levin::launch(options); status != 0) {
    throw std::runtime_error(job.program + " ended with status " + std::to_string(status));
  }
  std::ifstream file(output);
  std::vector<double> seconds;
  for (double value = 0.0; file >> value;) seconds.push_back(value);
  fs::remove(output);
  if (seconds.size() > 1) seconds.erase(seconds.begin());
  if (seconds.empty()) throw std::runtime_error(job.program + " measured nothing");
  return median(seconds) / static_cast<double>(job.steps) * 1e6;
}

int64_t steps_for(int64_t batch_size) { return std::max<int64_t>(8, 6400 / batch_size); }

/// Runs jobs in turns, and keeps the microseconds for a step of each job in each round.
class Table {
 public:
  Table(const fs::path& folder, std::vector<Job> jobs, int rounds) : jobs_(std::move(jobs)) {
    values_.resize(jobs_.size());
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < jobs_.size(); ++i) {
        const size_t turn = (i + static_cast<size_t>(round)) % jobs_.size();
        values_[turn].push_back(run(folder, jobs_[turn]));
      }
    }
  }

  void print() const {
    std::printf("%-34s %12s %28s\n", "", "us a step", "rows a second");
    for (size_t i = 0; i < jobs_.size(); ++i) {
      const auto [low, high] = std::minmax_element(values_[i].begin(), values_[i].end());
      const std::string name = jobs_[i].program + ", " + levin::counted(jobs_[i].ranks, "rank");
      const double us = median(values_[i]);
      std::printf("%-34s %12.0f %28.0f   (us: %.0f-%.0f)\n", name.c_str(), us,
                  1e6 * static_cast<double>(jobs_[i].size * jobs_[i].ranks) / us, *low, *high);
    }
  }

  const std::vector<double>& of(const std::string& program, int ranks) const {
    for (size_t i = 0; i < jobs_.size(); ++i) {
      if (jobs_[i].program == program && jobs_[i].ranks == ranks) return values_[i];
    }
    throw std::logic_error("no " + program);
  }

  /// Computes factor * a / b for each round, and prints the median, the lowest and the highest
  /// value.
  void print_ratio(const char* name, double factor, const std::vector<double>& a,
                   const std::vector<double>& b) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < a.size(); ++i) ratios.push_back(factor * a[i] / b[i]);
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%s: %.3f (%.3f-%.3f)\n", name, median(ratios), *low, *high);
  }

 private:
  std::vector<Job> jobs_;
  std::vector<std::vector<double>> values_;
};

void compare(const fs::path& folder, int64_t batch_size, int rounds, int64_t epochs) {
  std::vector<Job> jobs;
  for (const auto& [program, ranks] : std::vector<std::pair<const char*, int>>{{"single_device", 1},
                                                                               {"ddp", 1},
                                                                               {"ddp", 2},
                                                                               {"hand", 1},
                                                                               {"hand", 2},
                                                                               {"alone", 1},
                                                                               {"alone", 2}}) {
    jobs.push_back({program, ranks, batch_size, steps_for(batch_size), epochs});
  }
  const Table table(folder, jobs, rounds);
  std::printf("\nbatch %lld a rank, %d rounds\n", static_cast<long long>(batch_size), rounds);
  table.print();
  table.print_ratio("2 ranks / 1 rank, rows a second, Levin", 2, table.of("single_device", 1),
                    table.of("ddp", 2));
  table.print_ratio("2 ranks / 1 rank, rows a second, hand-written", 2, table.of("hand", 1),
                    table.of("hand", 2));
  table.print_ratio("2 ranks / 1 rank, rows a second, side by side without communication", 2,
                    table.of("alone", 1), table.of("alone", 2));
  table.print_ratio("2 ranks, time of a step: Levin / hand-written", 1, table.of("ddp", 2),
                    table.of("hand", 2));
  table.print_ratio("1 rank, time of a step: ddp / single_device", 1, table.of("ddp", 1),
                    table.of("single_device", 1));
  std::fflush(stdout);
}

// --- the model ---------------------------------------------------------------------------------

struct Line {
  double at_zero = 0.0;
  double slope = 0.0;
};

/// Fits a line by least squares of the relative errors.
Line fit_line(const std::vector<std::pair<double, double>>& points) {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const auto& [px, py] : points) {
    const double weight = 1 / (py * py);
    w += weight;
    x += weight * px;
    y += weight * py;
    xx += weight * px * px;
    xy += weight * px * py;
  }
  const double slope = (w * xy - x * y) / (w * xx - x * x);
  return {(y - slope * x) / w, slope};
}

struct Model {
  Line compute;          // us as a function of a rank's rows
  double beside = 1.0;   // k
  double latency = 0.0;  // us
  double us_a_byte = 0.0;
  double exposed = 1.0;  // e

  double all_reduce(double n) const {
    return kBuckets * 2 * (n - 1) * (latency + kGradientBytes / (kBuckets * n) * us_a_byte);
  }
  double computing(double n, double rows) const {
    return (n > 1 ? beside : 1.0) * (compute.at_zero + compute.slope * rows);
  }
  double step(double n, double rows) const { return computing(n, rows) + exposed * all_reduce(n); }
};

Model fit_model(const fs::path& folder, int rounds, int64_t epochs) {
  const std::vector<int64_t> sizes = {32, 64, 128, 256, 512};
  std::map<int64_t, double> two;
  std::vector<std::pair<double, double>> one, sums;
  std::vector<double> beside, exposed;
  for (const int64_t size : sizes) {
    const int64_t steps = steps_for(size);
    const Table table(folder,
                      {{"single_device", 1, size, steps, epochs},
                       {"ddp", 2, size, steps, epochs},
                       {"alone", 1, size, steps, epochs},
                       {"alone", 2, size, steps, epochs}},
                      rounds);
    one.emplace_back(size, median(table.of("single_device", 1)));
    two[size] = median(table.of("ddp", 2));
    beside.push_back(median(table.of("alone", 2)) / median(table.of("alone", 1)));
  }
  for (const int64_t kib : {1, 64, 256, 1024, 2048, 4096, 8192}) {
    const Table table(folder, {{"all_reduce", 2, kib << 10, 50, epochs}}, rounds);
    sums.emplace_back(1024.0 * static_cast<double>(kib), median(table.of("all_reduce", 2)));
  }
  Model model;
  model.compute = fit_line(one);
  model.beside = median(beside);
  const Line sum = fit_line(sums);  // with two ranks, 2 latency + bytes / bandwidth
  model.latency = sum.at_zero / 2;
  model.us_a_byte = sum.slope;
  for (const auto& [size, us] : two) {
    exposed.push_back((us - model.computing(2, static_cast<double>(size))) / model.all_reduce(2));
  }
  model.exposed = std::max(0.0, median(exposed));
  std::printf("\na model fitted to steps of one and two ranks\n");
  std::printf("computing: %.0f us + %.2f us a row; with another rank beside it %.2f times that\n",
              model.compute.at_zero, model.compute.slope, model.beside);
  std::printf("ring all-reduce: %.1f us a message, %.2f GB/s; %.2f of it lengthens a step\n",
              model.latency, 1e-3 / model.us_a_byte, model.exposed);
  std::printf("%8s %16s %16s %16s %16s\n", "rows", "1 rank, us", "model", "2 ranks, us", "model");
  for (const auto& [size, us] : one) {
    const double measured = two.at(static_cast<int64_t>(size));
    std::printf("%8.0f %16.0f %16.0f %16.0f %16.0f\n", size, us, model.step(1, size), measured,
                model.step(2, size));
  }
  for (const auto& [bytes, us] : sums) {
    std::printf("all-reduce of %9.0f bytes, us: %8.0f, model %8.0f\n", bytes, us,
                sum.at_zero + sum.slope * bytes);
  }
  return model;
}

void print_on_paper(const Model& model) {
  constexpr double kRows = 128;
  constexpr double kGlobalRows = 8192;
  std::printf(
      "\nON PAPER, from that model (nothing here was run with more than 2 ranks): computing and\n"
      "communication in us a step, what n ranks get done of n times one rank's work in %%\n");
  std::printf("%6s | %39s | %47s\n", "", "128 rows a rank", "8,192 rows a step in all");
  std::printf("%6s | %9s %9s %9s %9s | %9s %9s %9s %9s %7s\n", "ranks", "computing", "comm.",
              "step", "%", "computing", "comm.", "step", "faster", "%");
  const double whole = model.step(1, kGlobalRows);
  for (double n = 1; n <= 1024; n *= 2) {
    const double weak = model.step(n, kRows);
    const double strong = model.step(n, kGlobalRows / n);
    std::printf("%6.0f | %9.0f %9.0f %9.0f %9.1f | %9.0f %9.0f %9.0f %9.2f %7.1f\n", n,
                model.computing(n, kRows), weak - model.computing(n, kRows), weak,
                100 * model.step(1, kRows) / weak, model.computing(n, kGlobalRows / n),
                strong - model.computing(n, kGlobalRows / n), strong, whole / strong,
                100 * whole / strong / n);
  }
}

int measure(const fs::path& folder, int rounds, int64_t epochs) {
  std::printf(
      "MLP 784-512-512-10, one thread a rank, %u cores; gradients by Gloo (hand-written), in "
      "shared memory (Levin)\n",
      static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN)));
  for (const int64_t batch_size : {128, 512}) compare(folder, batch_size, rounds, epochs);
  std::printf("\nwhere the time of two ranks goes, batch 128 a rank\n");
  run(folder, {"profiled", 2, 128, steps_for(128), epochs});
  print_on_paper(fit_model(folder, std::min(rounds, 3), epochs));
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 7 && std::string(argv[1]) == "--rank") {
    return train(argv[2],
                 {argv[3], 0, std::atoll(argv[4]), std::atoll(argv[5]), std::atoll(argv[6])});
  }
  ::setenv("OMP_NUM_THREADS", "1", 1);
  std::string name = (fs::temp_directory_path() / "levin-scaling-XXXXXX").string();
  const fs::path folder = ::mkdtemp(name.data());
  int status = 1;
  try {
    status = measure(folder, argc > 1 ? std::atoi(argv[1]) : 5, argc > 2 ? std::atoll(argv[2]) : 8);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "scaling: %s\n", error.what());
  }
  std::error_code ignored;  // LibTorch exports a remove_all(path) of its own, which crashes
  fs::remove_all(folder, ignored);
  return status;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scaling: %s\n", error.what());
  return 1;
}
