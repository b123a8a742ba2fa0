// Measures Hogwild (framework/kernels/cpu/hogwild.h): threads that learn logistic regression from
// sparse rows at the same time, without locks.
//   hogwild [ROUNDS=5] [ROWS=400000] [LIMIT]
// The rows are made up: 39 entries each of 2^22 columns. In the first table, all columns are as
// popular; in the second, an entry's column belongs to a category that is as popular as Zipf's law
// says, so that threads often need the same cache lines. Passes of one thread and of two, four ...
// take turns, each from new weights, and so does the pass of the learner without Hogwild. Medians
// are printed, and the log-loss of rows that nothing was learned from. The exit status is 1 if, in
// the first table, two threads aren't LIMIT times as fast as one, or their log-loss is more than
// 0.001 above that of one.
#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "median.h"

namespace {

namespace kernels = levin::kernels;

constexpr int kBits = 22;
constexpr int64_t kEntries = 39;
constexpr int64_t kPart = 256;
constexpr double kMostLoss = 1e-3;

struct Data {
  Data(int64_t rows, bool is_uniform, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform;
    std::vector<int32_t> row;
    for (int64_t r = 0; r < rows; ++r) {
      row.clear();
      double sum = 0.0;
      for (int64_t field = 0; field < kEntries; ++field) {
        const double range = is_uniform ? 0.0 : 20.0 * uniform(random);
        const uint64_t category = is_uniform ? random() % (uint64_t{1} << 16)
                                             : static_cast<uint64_t>(std::exp2(range)) - 1;
        const uint64_t hash =
            (category * 64 + static_cast<uint64_t>(field) + 1) * 0x9E3779B97F4A7C15U;
        row.push_back(static_cast<int32_t>(hash >> (64 - kBits)));
        if (hash % 8 == 0) sum += (hash & 16) != 0 ? 1.0 : -1.0;
      }
      std::sort(row.begin(), row.end());
      row.erase(std::unique(row.begin(), row.end()), row.end());
      indices.insert(indices.end(), row.begin(), row.end());
      offsets.push_back(static_cast<int64_t>(indices.size()));
      targets.push_back(uniform(random) < 1.0 / (1.0 + std::exp(1.0 - sum)) ? 1.0F : 0.0F);
    }
  }
  kernels::OnlinePass<float> pass() const {
    return {.rows = {.offsets = offsets.data(),
                     .indices = indices.data(),
                     .count = static_cast<int64_t>(targets.size()),
                     .row_size = int64_t{1} << kBits},
            .targets = targets.data()};
  }
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> indices;
  std::vector<float> targets;
};

struct Freed {
  void operator()(float* memory) const { std::free(memory); }
};

/// A learner with new weights in huge pages.
class Learner {
 public:
  Learner() {
    constexpr size_t kSize = sizeof(float) * kernels::kOnlineNumbers << kBits;
    memory_.reset(static_cast<float*>(std::aligned_alloc(size_t{2} << 20, kSize)));
    if (memory_ == nullptr) std::abort();
    madvise(memory_.get(), kSize, MADV_HUGEPAGE);
    state_.columns = memory_.get();
    state_.row_size = int64_t{1} << kBits;
    restart();
  }
  void restart() {
    state_.bias = state_.bias_squares = 0.0;
    state_.steps = 0;
    kernels::best().online_start(settings_, state_, nullptr);
  }
  /// The seconds of a pass by that many threads; 0 threads: by the learner without Hogwild.
  double learn(const Data& data, int threads) {
    const auto pass = data.pass();
    const auto start = std::chrono::steady_clock::now();
    if (threads == 0) {
      kernels::best().online_pass(settings_, state_, pass);
    } else {
      kernels::HogwildBias<float> bias(state_);
      std::atomic<int64_t> next{0};
      const auto work = [&] {
        for (int64_t first = next.fetch_add(kPart); first < pass.rows.count;
             first = next.fetch_add(kPart)) {
          kernels::hogwild_pass(settings_, state_, pass, first,
                                std::min(kPart, pass.rows.count - first), bias);
        }
      };
      std::vector<std::thread> others;
      for (int t = 1; t < threads; ++t) others.emplace_back(work);
      work();
      for (auto& thread : others) thread.join();
      state_.bias = bias.bias;
      state_.bias_squares = bias.squares;
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  /// The mean log-loss of rows; learns nothing.
  double loss(const Data& data) const {
    double total = 0.0;
    for (size_t i = 0; i < data.targets.size(); ++i) {
      double z = state_.bias;
      for (int64_t k = data.offsets[i]; k < data.offsets[i + 1]; ++k) {
        const int64_t column = data.indices[static_cast<size_t>(k)];
        z += static_cast<double>(state_.columns[column * kernels::kOnlineNumbers]);
      }
      total += std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.0) -
               static_cast<double>(data.targets[i]) * z;
    }
    return total / static_cast<double>(data.targets.size());
  }

 private:
  kernels::OnlineSettings settings_{.method = kernels::OnlineMethod::adagrad,
                                    .learning_rate = 0.05};
  kernels::OnlineState<float> state_;
  std::unique_ptr<float, Freed> memory_;
};

/// Prints a table. Returns whether two threads did as the limit says.
bool measure(const char* title, bool is_uniform, int rounds, int64_t rows, double limit) {
  const Data train(rows, is_uniform, 1);
  const Data test(std::max<int64_t>(rows / 10, 1), is_uniform, 2);
  std::vector<int> kinds = {0, 1};
  const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
  for (unsigned threads = 2; threads <= cores; threads *= 2) {
    kinds.push_back(static_cast<int>(threads));
  }
  std::vector<std::vector<double>> seconds(kinds.size());
  std::vector<double> losses(kinds.size());
  Learner learner;
  for (int round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < kinds.size(); ++turn) {
      const size_t kind = (turn + static_cast<size_t>(round)) % kinds.size();
      learner.restart();
      seconds[kind].push_back(learner.learn(train, kinds[kind]));
      losses[kind] = learner.loss(test);
    }
  }
  std::printf("%s\n%-20s %12s %14s %10s\n", title, "threads", "rows/s", "to one thread",
              "log-loss");
  const double one = bench::median(seconds[1]);
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    const double time = bench::median(seconds[kind]);
    const std::string name = kinds[kind] == 0 ? "without Hogwild" : std::to_string(kinds[kind]);
    std::printf("%-20s %12.0f %14.2f %10.5f\n", name.c_str(), static_cast<double>(rows) / time,
                one / time, losses[kind]);
  }
  return one / bench::median(seconds[2]) >= limit && losses[2] <= losses[1] + kMostLoss;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : 400'000;
  const double limit = argc > 3 ? std::atof(argv[3]) : 0.0;
  const bool is_fast = measure("columns that are all as popular", true, rounds, rows, limit);
  std::printf("\n");
  measure("columns of popular categories (Zipf)", false, rounds, rows, 0.0);
  return is_fast ? 0 : 1;
}
