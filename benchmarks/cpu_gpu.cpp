// Measures from which size on a GPU trains faster than the CPU of the same machine:
//   - the time of a fit of one epoch against the number of rows, with the model MLP 784-128-10. It
//     is the whole call of Trainer::fit, so it includes copying the rows to the GPU.
//   - the time of a step against the size of the model, an MLP with one hidden layer.
// All batches have 128 rows. In each round the devices follow each other directly. Before a device
// is measured, a short fit starts it. Without a GPU, only the CPU is measured.
//   cpu_gpu [--seconds 50] [--max-rows 1048576] [--max-hidden 8192] [--json FILE]
// The limit of time may be exceeded by the smallest sizes, which are measured in any case. The
// points are printed as tables of medians. As JSON, with the seconds of each round, they are
// written to FILE or to the file that the variable LEVIN_BENCH_JSON names, and otherwise printed;
// plot_cpu_gpu.py draws them.
#include <ATen/Version.h>
#include <dlfcn.h>
#include <levin/framework/tensor/device.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "measured_fit.h"

namespace {

constexpr int64_t kBatchSize = 128;
constexpr int64_t kHidden = 128;   // of the model whose data grow
constexpr int64_t kRows = 60'000;  // of the data whose model grows
constexpr int64_t kMinSteps = 5;   // of an epoch that is measured for the time of a step
constexpr int kMostRounds = 5;
constexpr double kShareOfSteps = 0.4;  // of the time: that for the time of a step

struct Settings {
  double seconds = 50.0;
  int64_t max_rows = int64_t{1} << 20;
  int64_t max_hidden = 8192;
  std::string json;
};

/// The seconds of each round at one size, by device.
struct Point {
  int64_t size;
  std::vector<std::vector<double>> seconds;
};

/// `first`, then each time `factor` times as many, and at last `last`.
std::vector<int64_t> sizes(int64_t first, int64_t last, int64_t factor) {
  std::vector<int64_t> result;
  for (int64_t size = first; size < last; size *= factor) result.push_back(size);
  result.push_back(last);
  return result;
}

/// Rows of random numbers, which repeat after 8,192 rows. Each fit gets a new data set of them, so
/// that it can't use what an earlier one has copied to the GPU.
class RandomRows : public levin::DataModule {
 public:
  explicit RandomRows(int64_t rows)
      : inputs_(levin::empty_in_huge_pages({rows, bench::kFeatures}, torch::kFloat)),
        labels_(torch::randint(bench::kClasses, {rows}, torch::kLong)) {
    constexpr int64_t kDifferent = 8192;
    const auto different = torch::rand({std::min(rows, kDifferent), bench::kFeatures});
    for (int64_t at = 0; at < rows; at += kDifferent) {
      const int64_t count = std::min(rows - at, kDifferent);
      inputs_.narrow(0, at, count).copy_(different.narrow(0, 0, count));
    }
  }
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(std::make_shared<levin::TensorDataset>(inputs_, labels_),
                             {.batch_size = kBatchSize, .shuffle = true});
  }

 private:
  torch::Tensor inputs_, labels_;
};

void synchronize(const std::string& accelerator) {
  if (accelerator == "gpu") torch::cuda::synchronize();
}

/// The seconds of a fit of one epoch.
double fit_seconds(const std::string& accelerator, RandomRows& data) {
  const auto model = bench::make_model({kHidden});
  levin::Trainer trainer({.accelerator = accelerator, .max_epochs = 1});
  const auto started = bench::Clock::now();
  trainer.fit(*model, data);
  synchronize(accelerator);
  return bench::seconds_since(started);
}

/// Measures each epoch but the first, and ends the fit after that of them in which `limit` seconds
/// have passed.
class EpochClock : public levin::Callback {
 public:
  EpochClock(std::string accelerator, double limit)
      : accelerator_(std::move(accelerator)), limit_(limit) {}
  void on_train_epoch_end(levin::Run& run) override {
    synchronize(accelerator_);
    const auto now = bench::Clock::now();
    if (run.epoch() > 0) {
      seconds.push_back(std::chrono::duration<double>(now - last_).count());
      total_ += seconds.back();
      if (total_ >= limit_) run.stop("measured");
    }
    last_ = now;
  }
  std::vector<double> seconds;

 private:
  std::string accelerator_;
  double limit_, total_ = 0.0;
  bench::Clock::time_point last_;
};

/// The seconds of a step, as the median of epochs of `steps` steps.
double step_seconds(const std::string& accelerator, RandomRows& data, int64_t hidden, int64_t steps,
                    double limit) {
  const auto model = bench::make_model({hidden});
  levin::Trainer trainer(
      {.accelerator = accelerator, .max_epochs = -1, .limit_train_batches = steps});
  const auto& clock = trainer.add<EpochClock>(accelerator, limit);
  trainer.fit(*model, data);
  return bench::median(clock.seconds) / static_cast<double>(steps);
}

int64_t parameters(int64_t hidden) {
  return (bench::kFeatures + 1) * hidden + (hidden + 1) * bench::kClasses;
}

class Benchmark {
 public:
  Benchmark(Settings settings, std::vector<std::string> accelerators)
      : settings_(std::move(settings)), accelerators_(std::move(accelerators)) {}

  void start_devices() {
    RandomRows data(2 * kBatchSize);
    for (const auto& accelerator : accelerators_) fit_seconds(accelerator, data);
  }

  /// Step times, for which a part of the time that is left may be used.
  std::vector<Point> measure_models() {
    const auto all = sizes(1, settings_.max_hidden, 2);
    const double end = left() * (1.0 - kShareOfSteps);
    // Half of an epoch's time goes to the first epoch, which isn't measured.
    const double slice = 0.5 * kShareOfSteps * left() /
                         static_cast<double>(all.size() * accelerators_.size() * kMostRounds);
    RandomRows data(kRows);
    std::vector<Point> points;
    for (const int64_t hidden : all) {
      if (!points.empty() && left() < end) {
        leave_out("hidden layers", hidden, "time");
        break;
      }
      const auto steps = find_steps(data, hidden, slice);
      points.push_back(measure(hidden, left() - end, [&](size_t device) {
        return step_seconds(accelerators_[device], data, hidden, steps[device], 0.5 * slice);
      }));
    }
    return points;
  }

  /// Fit times, for which all of the time that is left may be used.
  std::vector<Point> measure_data() {
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    const double memory = page * static_cast<double>(sysconf(_SC_PHYS_PAGES));
    std::vector<Point> points;
    double round = 0.0;  // seconds of a round at the size before
    int64_t before = 0;
    for (const int64_t rows : sizes(kBatchSize, settings_.max_rows, 4)) {
      const double bytes = 4.0 * static_cast<double>(rows * bench::kFeatures);
      const double growth = before == 0 ? 1.0 : static_cast<double>(rows / before);
      const bool is_too_long = !points.empty() && round * growth > left();
      if (is_too_long || bytes > 0.25 * memory) {
        leave_out("data", rows, is_too_long ? "time" : "memory");
        break;
      }
      RandomRows data(rows);
      // Half is left for the sizes that follow.
      const double share = rows == settings_.max_rows ? left() : 0.5 * left();
      points.push_back(measure(
          rows, share, [&](size_t device) { return fit_seconds(accelerators_[device], data); }));
      round = 0.0;
      for (const auto& seconds : points.back().seconds) round += bench::median(seconds);
      before = rows;
    }
    return points;
  }

 private:
  double left() const { return settings_.seconds - bench::seconds_since(started_); }

  /// Rounds of all devices, at least one, for which `limit` seconds suffice.
  template <class Seconds>
  Point measure(int64_t size, double limit, Seconds&& seconds) const {
    Point point{size, std::vector<std::vector<double>>(accelerators_.size())};
    const auto started = bench::Clock::now();
    for (int round = 0; round < kMostRounds; ++round) {
      const double used = bench::seconds_since(started);
      if (round > 0 && used + used / round > limit) break;
      for (size_t device = 0; device < accelerators_.size(); ++device) {
        point.seconds[device].push_back(seconds(device));
      }
    }
    return point;
  }

  /// For each device the steps of an epoch that takes about `slice` seconds.
  std::vector<int64_t> find_steps(RandomRows& data, int64_t hidden, double slice) const {
    std::vector<int64_t> result;
    for (const auto& accelerator : accelerators_) {
      const double step = step_seconds(accelerator, data, hidden, kMinSteps, 0.0);
      result.push_back(
          std::clamp(static_cast<int64_t>(slice / step), kMinSteps, kRows / kBatchSize));
    }
    return result;
  }

  static void leave_out(const char* what, int64_t size, const char* lacks) {
    std::printf("Left out for lack of %s: %s of size %lld and more.\n\n", lacks, what,
                static_cast<long long>(size));
  }

  const Settings settings_;
  const std::vector<std::string> accelerators_;
  const bench::Clock::time_point started_ = bench::Clock::now();
};

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "CPU";
}

/// The name of the first CUDA device. The driver is asked, because LibTorch's function needs the
/// headers of CUDA.
std::string gpu_name() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
  if (driver == nullptr) return "GPU";
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
  int device = 0;
  char text[256] = "";
  const bool has_all = init != nullptr && get != nullptr && name != nullptr;
  if (!has_all || init(0) != 0 || get(&device, 0) != 0 || name(text, sizeof text, device) != 0) {
    return "GPU";
  }
  return text;
}

void print_table(const char* title, const std::vector<Point>& points, bool has_models) {
  const bool has_gpu = points.front().seconds.size() > 1;
  std::string head = has_models ? "| hidden units | parameters | CPU, us |" : "| rows | CPU, ms |";
  std::string line = has_models ? "|---:|---:|---:|" : "|---:|---:|";
  if (has_gpu) {
    head += has_models ? " GPU, us | CPU / GPU |" : " GPU, ms | CPU / GPU |";
    line += "---:|---:|";
  }
  std::printf("%s\n\n%s\n%s\n", title, head.c_str(), line.c_str());
  for (const Point& point : points) {
    std::printf("| %lld |", static_cast<long long>(point.size));
    if (has_models) std::printf(" %lld |", static_cast<long long>(parameters(point.size)));
    for (const auto& seconds : point.seconds) {
      std::printf(" %.1f |", (has_models ? 1e6 : 1e3) * bench::median(seconds));
    }
    if (has_gpu) {
      const auto ratio = bench::ratio_of(point.seconds[0], point.seconds[1]);
      std::printf(" %.3f (%.3f-%.3f) |", ratio.median, ratio.low, ratio.high);
    }
    std::printf("\n");
  }
  std::printf("\n");
}

nlohmann::ordered_json as_json(const std::vector<Point>& points, bool has_models) {
  auto result = nlohmann::ordered_json::array();
  for (const Point& point : points) {
    nlohmann::ordered_json one{{has_models ? "hidden" : "rows", point.size}};
    if (has_models) one["parameters"] = parameters(point.size);
    one["cpu"] = point.seconds[0];
    if (point.seconds.size() > 1) one["gpu"] = point.seconds[1];
    result.push_back(std::move(one));
  }
  return result;
}

Settings parse(int argc, char** argv) {
  Settings result;
  if (const char* file = std::getenv("LEVIN_BENCH_JSON")) result.json = file;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--seconds") {
      result.seconds = std::stod(value);
    } else if (name == "--max-rows") {
      result.max_rows = std::stoll(value);
    } else if (name == "--max-hidden") {
      result.max_hidden = std::stoll(value);
    } else if (name == "--json") {
      result.json = value;
    } else {
      throw std::invalid_argument("there is no option called " + name);
    }
  }
  if (result.max_rows < 1 || result.max_hidden < 1) {
    throw std::invalid_argument("--max-rows and --max-hidden must be at least 1");
  }
  return result;
}

void run(const Settings& settings) {
  std::vector<std::string> accelerators{"cpu"};
  if (levin::cuda_device_count() > 0) accelerators.emplace_back("gpu");
  const bool has_gpu = accelerators.size() > 1;
  nlohmann::ordered_json results{
      {"cpu", {{"name", cpu_name()}, {"threads", at::get_num_threads()}}},
      {"gpu", nullptr},
      {"libtorch", TORCH_VERSION},
      {"batch_size", kBatchSize},
      {"hidden", kHidden}};
  std::printf("CPU: %s, %d threads\n", cpu_name().c_str(), at::get_num_threads());
  if (has_gpu) results["gpu"] = {{"name", gpu_name()}};
  std::printf("GPU: %s\n\n",
              has_gpu ? gpu_name().c_str() : "none was found, so only the CPU is measured");

  Benchmark benchmark(settings, accelerators);
  benchmark.start_devices();
  const auto models = benchmark.measure_models();
  const auto data = benchmark.measure_data();
  print_table("Fit of one epoch, MLP 784-128-10, batch 128", data, /*has_models=*/false);
  print_table("Step of MLP 784-h-10, batch 128", models, /*has_models=*/true);
  results["data_size"] = as_json(data, /*has_models=*/false);
  results["model_size"] = as_json(models, /*has_models=*/true);
  if (settings.json.empty()) {
    std::printf("%s\n", results.dump().c_str());
  } else if (!(std::ofstream(settings.json) << results.dump() << std::endl)) {
    throw std::runtime_error("can't write " + settings.json);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cpu_gpu: %s\n", error.what());
    return 1;
  }
}
