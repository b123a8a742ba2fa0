// Measures the kernels for sparse rows (framework/kernels/cpu/sparse.h and online.h) on one core.
//   sparse [ROUNDS=5] [ROWS=300000] [MOST_BITS=26]
// The rows are made up: 39 entries each of 2^b columns, all values 1, each of which belongs to a
// category that is as popular as Zipf's law says. It prints the speed of learners over 2^20
// columns, beside plain loops that do the same without vectors or penalties, and the time of a full
// gradient, and then what a row costs over 2^16 to 2^MOST_BITS columns, with penalties and without.
// A row that has to wait for memory costs more the fewer of its columns are in the caches, however
// the updates are made, so that the plain loop's cost is printed, too: if the costs with penalties
// grew with the number of columns for any other reason, the ratio would. All that is compared takes
// turns, and medians are printed.
#include <levin/framework/kernels/cpu/kernels.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "median.h"

namespace {

namespace kernels = levin::kernels;
using kernels::OnlineMethod;
using kernels::OnlineSettings;

constexpr int64_t kEntries = 39;
constexpr int64_t kBatch = 1024;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Rows of entries at hashed columns. Of the 2^20 most popular categories of a field, each occurs
/// as often as a power of a uniform number falls on it.
class Data {
 public:
  Data(int64_t rows, int bits) : columns(int64_t{1} << bits) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform;
    std::vector<int32_t> row;
    for (int64_t r = 0; r < rows; ++r) {
      row.clear();
      double sum = 0.0;
      for (int64_t field = 0; field < kEntries; ++field) {
        const auto category = static_cast<uint64_t>(std::exp2(20.0 * uniform(random))) - 1;
        const uint64_t hash =
            (category * 64 + static_cast<uint64_t>(field) + 1) * 0x9E3779B97F4A7C15U;
        row.push_back(static_cast<int32_t>(hash >> (64 - bits)));
        if (hash % 8 == 0) sum += (hash & 16) != 0 ? 1.0 : -1.0;
      }
      std::sort(row.begin(), row.end());
      row.erase(std::unique(row.begin(), row.end()), row.end());
      indices.insert(indices.end(), row.begin(), row.end());
      offsets.push_back(static_cast<int64_t>(indices.size()));
      targets.push_back(uniform(random) < 1.0 / (1.0 + std::exp(1.0 - sum)) ? 1.0F : 0.0F);
    }
  }
  kernels::SparseView view() const {
    return {.offsets = offsets.data(),
            .indices = indices.data(),
            .count = static_cast<int64_t>(targets.size()),
            .row_size = columns};
  }
  double rows() const { return static_cast<double>(targets.size()); }

  int64_t columns;
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> indices;
  std::vector<float> targets;
};

/// Memory for the state of a learner, in huge pages if the system offers them: columns lie anywhere
/// in it, and the processor knows the addresses of few small pages.
class HugeMemory {
 public:
  explicit HugeMemory(size_t floats) {
    constexpr size_t kPage = size_t{2} << 20;
    const size_t size = (floats * sizeof(float) + kPage - 1) / kPage * kPage;
    floats_ = static_cast<float*>(std::aligned_alloc(kPage, size));
    if (floats_ == nullptr) throw std::bad_alloc();
    madvise(floats_, size, MADV_HUGEPAGE);
  }
  ~HugeMemory() { std::free(floats_); }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  float* data() { return floats_; }

 private:
  float* floats_ = nullptr;
};

/// The memory of one learner, which is made anew for each pass.
class Learner {
 public:
  explicit Learner(const Data& data)
      : data_(data),
        columns_(static_cast<size_t>(data.columns * kernels::kOnlineNumbers)),
        touched_(static_cast<size_t>(kBatch * kEntries)) {}

  /// The seconds of a pass, with which the weights are brought up to date. Two thirds of the rows
  /// come before it, so that the columns lie in the caches as they do further on.
  double seconds(const OnlineSettings& settings, int64_t rows_a_step) {
    kernels::OnlineState<float> state{.columns = columns_.data(), .row_size = data_.columns};
    kernels::best().online_start(settings, state, nullptr);
    const int64_t before = static_cast<int64_t>(data_.targets.size()) / 3 * 2;
    kernels::OnlinePass<float> pass{.rows = data_.view().narrow(0, before),
                                    .targets = data_.targets.data(),
                                    .rows_a_step = rows_a_step,
                                    .touched = touched_.data()};
    kernels::best().online_pass(settings, state, pass);
    pass.rows = data_.view().narrow(before, static_cast<int64_t>(data_.targets.size()) - before);
    pass.targets += before;
    return seconds_of([&] { kernels::best().online_pass(settings, state, pass); }) /
           static_cast<double>(pass.rows.count);
  }

  /// The same of a plain loop of online Adagrad, without penalties.
  double plain_seconds() {
    struct Column {
      float weight, squares;
    };
    auto* columns = reinterpret_cast<Column*>(columns_.data());
    for (int64_t c = 0; c < data_.columns; ++c) columns[c] = {0.0F, 1e-10F};
    const auto rows = static_cast<int64_t>(data_.targets.size()), before = rows / 3 * 2;
    learn(columns, 0, before);
    return seconds_of([&] { learn(columns, before, rows); }) / static_cast<double>(rows - before);
  }

 private:
  template <class Column>
  void learn(Column* columns, int64_t first, int64_t last) {
    constexpr int64_t kAhead = 4;
    const int64_t* offsets = data_.offsets.data();
    const int32_t* indices = data_.indices.data();
    float bias = 0.0F, bias_squares = 1e-10F;
    for (int64_t r = first; r < last; ++r) {
      if (r + kAhead < last) {
        for (int64_t k = offsets[r + kAhead]; k < offsets[r + kAhead + 1]; ++k) {
          __builtin_prefetch(columns + indices[k], 1);
        }
      }
      float z = bias;
      for (int64_t k = offsets[r]; k < offsets[r + 1]; ++k) z += columns[indices[k]].weight;
      const float g = 1.0F / (1.0F + std::exp(-z)) - data_.targets[static_cast<size_t>(r)];
      bias_squares += g * g;
      bias -= 0.1F * g / std::sqrt(bias_squares);
      for (int64_t k = offsets[r]; k < offsets[r + 1]; ++k) {
        Column& column = columns[indices[k]];
        column.squares += g * g;
        column.weight -= 0.1F * g / std::sqrt(column.squares);
      }
    }
  }

  const Data& data_;
  HugeMemory columns_;
  std::vector<int32_t> touched_;
};

/// The seconds of the loss's gradient over all rows.
double gradient_seconds(const Data& data) {
  const auto columns = static_cast<size_t>(data.columns);
  std::vector<float> weight(columns, 0.01F), gradient(columns), outputs(kBatch);
  float bias = 0.0F, bias_gradient = 0.0F;
  return seconds_of([&] {
    for (int64_t first = 0; first < data.view().count; first += kBatch) {
      const int64_t count = std::min(kBatch, data.view().count - first);
      const auto rows = data.view().narrow(first, count);
      kernels::best().sparse_output({rows, weight.data(), &bias, 1, 1, outputs.data()});
      for (int64_t i = 0; i < count; ++i) {
        float& z = outputs[static_cast<size_t>(i)];
        z = 1.0F / (1.0F + std::exp(-z)) - data.targets[static_cast<size_t>(first + i)];
      }
      kernels::best().sparse_gradient(
          {rows, outputs.data(), 1, 1, gradient.data(), &bias_gradient});
    }
  });
}

struct Measured {
  const char* name;
  OnlineSettings settings;
  int64_t rows_a_step;
};

const Measured kMeasured[] = {
    {"online Adagrad", {}, 1},
    {"online Adagrad, l1 and l2", {.l1 = 1e-7, .l2 = 1e-7}, 1},
    {"online SGD", {.method = OnlineMethod::sgd, .learning_rate = 0.02}, 1},
    {"online SGD, l1 and l2",
     {.method = OnlineMethod::sgd, .learning_rate = 0.02, .l1 = 1e-7, .l2 = 1e-7},
     1},
    {"FTRL-proximal", {.method = OnlineMethod::ftrl, .l1 = 0.1, .l2 = 0.1}, 1},
    {"Adagrad, batches of 1024", {.learning_rate = 0.05}, kBatch},
    {"Adagrad, batches of 1024, l1 and l2",
     {.learning_rate = 0.05, .l1 = 1e-7, .l2 = 1e-7},
     kBatch},
};

void print_speeds(int rounds, int64_t rows) {
  const Data data(rows, 20);
  Learner learner(data);
  std::vector<std::vector<double>> seconds(std::size(kMeasured));
  std::vector<double> plain, gradient;
  for (int round = 0; round < rounds; ++round) {
    for (size_t m = 0; m < std::size(kMeasured); ++m) {
      seconds[m].push_back(learner.seconds(kMeasured[m].settings, kMeasured[m].rows_a_step));
    }
    plain.push_back(learner.plain_seconds());
    gradient.push_back(gradient_seconds(data));
  }
  std::printf("%-36s %9s   of the plain loop's\n", "2^20 columns, 39 entries a row", "M rows/s");
  std::printf("%-36s %9.2f\n", "plain loop of online Adagrad", 1e-6 / bench::median(plain));
  for (size_t m = 0; m < std::size(kMeasured); ++m) {
    const double median = bench::median(seconds[m]);
    std::printf("%-36s %9.2f   %.2f\n", kMeasured[m].name, 1e-6 / median,
                bench::median(plain) / median);
  }
  std::printf("full gradient: %.3f s for 1 M rows\n", bench::median(gradient) / data.rows() * 1e6);
}

void print_costs_over_columns(int rounds, int64_t rows, int most_bits) {
  const OnlineSettings both{.l1 = 1e-7, .l2 = 1e-7};
  std::printf("\nnanoseconds a row  %10s %10s %12s %10s\n", "plain loop", "Adagrad", "l1 and l2",
              "batches");
  for (int bits = 16; bits <= most_bits; bits += 2) {
    const Data data(rows, bits);
    Learner learner(data);
    std::vector<double> plain, without, with, batches;
    for (int round = 0; round < rounds; ++round) {
      plain.push_back(learner.plain_seconds());
      without.push_back(learner.seconds({}, 1));
      with.push_back(learner.seconds(both, 1));
      batches.push_back(learner.seconds(both, kBatch));
    }
    std::printf("2^%d columns       %10.0f %10.0f %12.0f %10.0f\n", bits,
                1e9 * bench::median(plain), 1e9 * bench::median(without), 1e9 * bench::median(with),
                1e9 * bench::median(batches));
  }
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  const int64_t rows = count > 2 ? std::atoll(arguments[2]) : 300'000;
  const int most_bits = count > 3 ? std::atoi(arguments[3]) : 26;
  std::printf("kernels for %s, %d rounds of %lld rows\n", kernels::best().name, rounds,
              static_cast<long long>(rows));
  print_speeds(rounds, rows);
  print_costs_over_columns(rounds, rows, most_bits);
  return 0;
}
