// Measures the kernels for sparse rows (framework/kernels/cpu/sparse.h and online.h) on one core.
//   sparse [ROUNDS=5] [ROWS=300000] [MOST_BITS=26]
// The rows are made up: 39 entries each of 2^b columns, all values 1. All that is compared takes
// turns, and medians are printed. There are three parts:
//
// Speeds of learners over 2^20 columns, beside a plain loop of online Adagrad without vectors or
// penalties, and the time of a full gradient. An entry's column belongs to a category that is as
// popular as Zipf's law says.
//
// What a row costs over 2^16 to 2^MOST_BITS columns that are drawn uniformly, with penalties and
// without. A row that has to wait for memory costs more the fewer of its columns are in the caches,
// however the updates are made, so that the costs are divided by those of a plain loop of online
// Adagrad without penalties, whose columns lie as far apart. If lazy updates depended on the number
// of columns, the ratios would grow with it.
//
// Text to model: a file in Vowpal Wabbit's format is read and learned from in one thread. If there
// is a program vw, or the environment variable VW says how to start it, it does the same.
#include <levin/datamodules/readers/sparse_vw.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "median.h"
#include "sparse_rows.h"

namespace {

namespace kernels = levin::kernels;
using bench::Categories;
using bench::HugeMemory;
using kernels::OnlineMethod;
using kernels::OnlineSettings;
using Data = bench::SparseRows;

constexpr int64_t kBatch = 1024;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The memory of one learner, which is made anew for each pass.
class Learner {
 public:
  explicit Learner(const Data& data)
      : data_(data),
        columns_(static_cast<size_t>(data.columns * kernels::kOnlineNumbers)),
        touched_(static_cast<size_t>(kBatch * Data::kEntries)) {}

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

  /// The same of a plain loop of online Adagrad, without penalties. A column takes as much memory
  /// as a learner's.
  double plain_seconds() {
    struct Column {
      float weight, squares, unused[kernels::kOnlineNumbers - 2];
    };
    auto* columns = reinterpret_cast<Column*>(columns_.data());
    for (int64_t c = 0; c < data_.columns; ++c) columns[c] = {0.0F, 1e-10F, {}};
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
  const Data data(rows, 20, Categories::popular);
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
  std::printf("full gradient: %.3f s for 1 M rows\n",
              bench::median(gradient) / static_cast<double>(data.count()) * 1e6);
}

/// What a row costs over some number of columns.
struct Costs {
  double plain;
  std::vector<double> learners;
};

const Measured kLazy[] = {{"no penalty", {}, 1}, {"l1", {.l1 = 1e-7}, 1}, {"l2", {.l2 = 1e-7}, 1}};

Costs costs_over(int bits, int rounds, int64_t rows) {
  const Data data(rows, bits, Categories::countless);
  Learner learner(data);
  std::vector<double> plain;
  std::vector<std::vector<double>> seconds(std::size(kLazy));
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(learner.plain_seconds());
    for (size_t m = 0; m < std::size(kLazy); ++m) {
      seconds[m].push_back(learner.seconds(kLazy[m].settings, kLazy[m].rows_a_step));
    }
  }
  Costs costs{1e9 * bench::median(plain), {}};
  for (const auto& times : seconds) costs.learners.push_back(1e9 * bench::median(times));
  return costs;
}

void print_costs_over_columns(int rounds, int64_t rows, int most_bits) {
  constexpr int kLeastBits = 16;
  std::printf("\nonline Adagrad, nanoseconds a row (and as a multiple of the plain loop's)\n");
  std::printf("%-14s %10s", "", "plain loop");
  for (const auto& measured : kLazy) std::printf(" %18s", measured.name);
  std::vector<double> first, most(std::size(kLazy));
  for (int bits = kLeastBits; bits <= most_bits; bits += 2) {
    const Costs costs = costs_over(bits, rounds, rows);
    std::printf("\n2^%d columns   %10.0f", bits, costs.plain);
    for (size_t m = 0; m < std::size(kLazy); ++m) {
      const double ratio = costs.learners[m] / costs.plain;
      std::printf(" %10.0f (%5.2f)", costs.learners[m], ratio);
      if (bits == kLeastBits) first.push_back(ratio);
      most[m] = std::max(most[m], ratio);
    }
  }
  std::printf("\n");
  for (size_t m = 0; m < first.size(); ++m) {
    std::printf("%s: largest multiple / that of 2^%d columns: %.2f\n", kLazy[m].name, kLeastBits,
                most[m] / first[m]);
  }
}

/// A file in Vowpal Wabbit's format, which is removed at the end.
class VwFile {
 public:
  explicit VwFile(const Data& data)
      : path(std::filesystem::temp_directory_path() /
             ("levin-bench-" + std::to_string(std::random_device()()) + ".vw")) {
    std::ofstream file(path);
    for (size_t r = 0; r < data.targets.size(); ++r) {
      file << (data.targets[r] > 0.0F ? "1 |" : "-1 |");
      for (auto k = data.offsets[r]; k < data.offsets[r + 1]; ++k) {
        file << ' ' << data.indices[static_cast<size_t>(k)];
      }
      file << '\n';
    }
  }
  ~VwFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  VwFile(const VwFile&) = delete;
  VwFile& operator=(const VwFile&) = delete;

  const std::filesystem::path path;
};

/// The seconds until the text has been read and learned from, in this thread.
double text_seconds(const VwFile& file) {
  return seconds_of([&] {
    const auto rows = levin::readers::read_sparse_vw({file.path}, {.bits = 20});
    HugeMemory columns(static_cast<size_t>(rows.columns * kernels::kOnlineNumbers));
    kernels::OnlineState<float> state{.columns = columns.data(), .row_size = rows.columns};
    kernels::best().online_start({}, state, nullptr);
    const kernels::SparseView view{.offsets = rows.offsets.data(),
                                   .indices = rows.indices.data(),
                                   .values = rows.values.empty() ? nullptr : rows.values.data(),
                                   .count = rows.rows(),
                                   .row_size = rows.columns};
    kernels::best().online_pass({}, state, {.rows = view, .targets = rows.targets.data()});
  });
}

void print_text_to_model(int rounds, int64_t rows) {
  const VwFile file(Data(rows, 20, Categories::popular));
  const char* set = std::getenv("VW");
  const std::string vw = set != nullptr ? set : "vw";
  const bool has_vw = std::system((vw + " --version > /dev/null 2>&1").c_str()) == 0;
  const std::string command =
      vw + " --quiet --loss_function logistic -b 20 -d " + file.path.string() + " > /dev/null 2>&1";
  std::vector<double> levin, vowpal_wabbit;
  for (int round = 0; round < rounds; ++round) {
    levin.push_back(text_seconds(file));
    if (!has_vw) continue;
    vowpal_wabbit.push_back(seconds_of([&] {
      if (std::system(command.c_str()) != 0) std::printf("it failed: %s\n", command.c_str());
    }));
  }
  const double median = bench::median(levin);
  std::printf("\ntext to model: %.3f s, %.2f M rows/s\n", median,
              1e-6 * static_cast<double>(rows) / median);
  if (!has_vw) {
    std::printf("Vowpal Wabbit isn't here to be compared: install it, or set VW\n");
    return;
  }
  std::printf("text to model, Levin / Vowpal Wabbit (%.3f s): %.2f\n", bench::median(vowpal_wabbit),
              median / bench::median(vowpal_wabbit));
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  const int64_t rows = count > 2 ? std::atoll(arguments[2]) : 300'000;
  const int most_bits = count > 3 ? std::atoi(arguments[3]) : 26;
  std::printf("kernels for %s, %d rounds of %lld rows\n", kernels::best().name, rounds,
              static_cast<long long>(rows));
  print_speeds(rounds, rows);
  print_text_to_model(rounds, rows);
  print_costs_over_columns(rounds, rows, most_bits);
  return 0;
}
