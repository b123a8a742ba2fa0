// Measures how close a training step on the CPU comes to what the machine can do at most. Each
// round measures the peak of fused multiply-adds and the bandwidth of reading memory, of one core
// and of all, and then the steps of all models, so that shares are those of one moment.
//   roofline [ROUNDS=11] [SECONDS=0.3]
// A step is bound by the longer of two times: that of its floating-point operations at the peak,
// and that of reading its rows from memory once. The weights stay in the cache. Operations on rows
// of bytes count as float32 ones, too, though a matrix unit may do them faster. The share is that
// time divided by the time the step takes on one core. The last column divides the time with one
// thread by the time with as many as there are cores.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "machine_peaks.h"
#include "measured_fit.h"

namespace {

constexpr int64_t kRows = 60'000;
constexpr int64_t kMemory = int64_t{1} << 30;

struct Peaks {
  double flops;      // a second
  double bandwidth;  // bytes a second
};

struct Subject {
  const char* name;
  std::vector<int64_t> hidden_sizes;
  int64_t batch_size;
  bool has_bytes;
  int64_t steps = 0;
  std::vector<double> one{};    // seconds a step with one thread, by round
  std::vector<double> all{};    // with all
  std::vector<double> bound{};  // seconds a step at least, by round

  /// Floating-point operations a step: each weight takes two for a row in the forward pass and two
  /// for its gradient, and two more for the gradient of its input, which the first layer's weights
  /// don't need.
  double flops() const {
    double weights = 0.0, not_first = 0.0;
    std::vector<int64_t> sizes{bench::kFeatures};
    sizes.insert(sizes.end(), hidden_sizes.begin(), hidden_sizes.end());
    sizes.push_back(bench::kClasses);
    for (size_t layer = 0; layer + 1 < sizes.size(); ++layer) {
      const auto own = static_cast<double>(sizes[layer] * sizes[layer + 1]);
      weights += own;
      if (layer > 0) not_first += own;
    }
    return static_cast<double>(batch_size) * (4.0 * weights + 2.0 * not_first);
  }
  /// Bytes of the rows of a step.
  double bytes() const {
    return static_cast<double>(batch_size * bench::kFeatures) * (has_bytes ? 1.0 : 4.0);
  }
  bool is_bound_by_memory(const Peaks& peaks) const {
    return bytes() / peaks.bandwidth > flops() / peaks.flops;
  }
};

Peaks measure(const torch::Tensor& memory, int cores, double seconds) {
  return {bench::peak_flops(cores, seconds), bench::read_bandwidth(memory, cores)};
}

void print_peaks(const char* of, const std::vector<Peaks>& peaks) {
  std::vector<double> flops, bandwidth;
  for (const auto& each : peaks) {
    flops.push_back(1e-9 * each.flops);
    bandwidth.push_back(1e-9 * each.bandwidth);
  }
  const auto print = [](const std::vector<double>& values, const char* unit) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    std::printf("%s median %.1f (min %.1f, max %.1f)", unit, bench::median(values), *low, *high);
  };
  std::printf("%s: ", of);
  print(flops, "GFLOP/s");
  print(bandwidth, "; GB/s");
  std::printf("\n");
}

void run_round(Subject& subject, bench::Images& data, const Peaks& peaks, int cores,
               double seconds) {
  data.set_batch_size(subject.batch_size);
  if (subject.steps == 0) {
    subject.steps = bench::steps_in(seconds, subject.hidden_sizes, data);
  }
  const auto step = [&](const levin::CountOrName& threads) {
    return bench::fit_seconds(subject.hidden_sizes, data, subject.steps, threads) /
           static_cast<double>(subject.steps);
  };
  subject.one.push_back(step(1));
  subject.all.push_back(cores > 1 ? step("") : subject.one.back());
  subject.bound.push_back(
      std::max(subject.bytes() / peaks.bandwidth, subject.flops() / peaks.flops));
}

void print_row(const Subject& subject, const Peaks& peaks) {
  const double step = bench::median(subject.one);
  const auto share = bench::ratio_of(subject.bound, subject.one);
  const auto speed_up = bench::ratio_of(subject.one, subject.all);
  std::printf("%-27s %6lld %10.1f %9.1f %7.2f  %-10s %6.3f (%.3f-%.3f) %6.2f (%.2f-%.2f)\n",
              subject.name, static_cast<long long>(subject.batch_size), 1e6 * step,
              1e-9 * subject.flops() / step, 1e-9 * subject.bytes() / step,
              subject.is_bound_by_memory(peaks) ? "memory" : "arithmetic", share.median, share.low,
              share.high, speed_up.median, speed_up.low, speed_up.high);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 11;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.3;
  const int cores = at::get_num_threads();
  std::vector<Subject> subjects;
  for (const bool has_bytes : {false, true}) {
    for (const int64_t batch_size : {128, 512, 4096}) {
      const char* name = has_bytes ? "logistic regression, uint8" : "logistic regression";
      subjects.push_back({name, {}, batch_size, has_bytes});
    }
  }
  subjects.push_back({"MLP 784-32-10", {32}, 128, false});
  subjects.push_back({"MLP 784-512-512-10", {512, 512}, 128, false});
  bench::Images floats(kRows), bytes(kRows, /*as_bytes=*/true);
  const auto memory = bench::large_memory(kMemory);
  std::vector<Peaks> of_one, of_all;
  for (int round = 0; round < rounds; ++round) {
    of_one.push_back(measure(memory, 1, seconds));
    of_all.push_back(measure(memory, cores, seconds));
    for (auto& subject : subjects) {
      run_round(subject, subject.has_bytes ? bytes : floats, of_one.back(), cores, seconds);
    }
  }
  std::printf("%d rounds; %d cores; %lld rows\n", rounds, cores, static_cast<long long>(kRows));
  print_peaks("one core", of_one);
  print_peaks("all cores", of_all);
  std::printf("%-27s %6s %10s %9s %7s  %-10s %s  %s\n", "model", "batch", "us a step", "GFLOP/s",
              "GB/s", "bound by", "share of what binds", "one thread / all");
  for (const auto& subject : subjects) print_row(subject, of_one.front());
}
