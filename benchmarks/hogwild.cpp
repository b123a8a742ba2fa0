// Measures Hogwild (framework/kernels/cpu/hogwild.h): threads or processes that learn logistic
// regression from sparse rows at the same time, without locks.
//   hogwild [ROUNDS=5] [ROWS=400000] [LIMIT]
// The rows are made up: 39 entries each of 2^22 columns. In the first table, all categories are as
// popular; in the second, they are as popular as Zipf's law says, so that threads often need the
// same cache lines. Passes of one thread and of two, four ..., of one process and of two, four ...
// take turns, each from new weights, and so does the pass of the learner without Hogwild. Threads
// have the columns in huge pages, and processes in memory that they share (HostMemory), for which
// systems seldom offer any. Medians are printed, and the log-loss of rows that nothing was learned
// from. The exit status is 1 if, in the first table, two threads aren't LIMIT times as fast as one,
// or the log-loss of two threads or processes is more than 0.001 above that of one thread.
#include <levin/framework/collectives/host_memory.h>
#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "median.h"
#include "sparse_rows.h"

namespace {

namespace kernels = levin::kernels;
using bench::Categories;
using Data = bench::SparseRows;

constexpr int kBits = 22;
constexpr size_t kNumbers = size_t{kernels::kOnlineNumbers} << kBits;
constexpr int64_t kPart = 256;
constexpr double kMostLoss = 1e-3;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Who makes a pass.
struct Team {
  enum class Kind { plain, threads, processes };
  Kind kind;
  int size;

  std::string name() const {
    if (kind == Kind::plain) return "without Hogwild";
    const std::string what = kind == Kind::threads ? "thread" : "process";
    return std::to_string(size) + " " + what +
           (size == 1               ? ""
            : kind == Kind::threads ? "s"
                                    : "es");
  }
};

/// What the threads or processes of a pass have in common, beside the columns.
struct Common {
  kernels::HogwildBias bias;
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int> ready{0};
  std::atomic<int> done{0};
};

/// A learner with new weights for each pass.
class Learner {
 public:
  Learner()
      : own_(kNumbers), memory_(levin::HostMemory::create(sizeof(Common) + kNumbers * 4, 0.5)) {
    if (memory_.data() == nullptr) {
      std::fprintf(stderr, "the system gives no memory that processes can share\n");
      std::exit(1);
    }
    memory_.close();
  }

  /// The seconds of a pass by the team.
  double learn(const Data& data, const Team& team) {
    const bool is_shared = team.kind == Team::Kind::processes;
    state_ = {.row_size = data.columns};
    state_.columns =
        is_shared ? reinterpret_cast<float*>(memory_.data().get() + sizeof(Common)) : own_.data();
    kernels::best().online_start(settings_, state_, nullptr);
    const kernels::OnlinePass<float> pass{.rows = data.view(), .targets = data.targets.data()};
    if (team.kind == Team::Kind::plain) {
      const double start = now();
      kernels::best().online_pass(settings_, state_, pass);
      return now() - start;
    }
    Common own;
    auto& common = is_shared ? *new (memory_.data().get()) Common : own;
    const double seconds =
        is_shared ? by_processes(pass, team.size, common) : by_threads(pass, team.size, common);
    state_.bias = common.bias.bias;
    return seconds;
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
  void take_parts(const kernels::OnlinePass<float>& pass, Common& common) const {
    for (int64_t first = common.next.fetch_add(kPart); first < pass.rows.count;
         first = common.next.fetch_add(kPart)) {
      kernels::best().hogwild_pass(settings_, state_, pass, first,
                                   std::min(kPart, pass.rows.count - first), common.bias);
    }
  }
  double by_threads(const kernels::OnlinePass<float>& pass, int size, Common& common) const {
    const double start = now();
    std::vector<std::thread> others;
    for (int t = 1; t < size; ++t) others.emplace_back([&] { take_parts(pass, common); });
    take_parts(pass, common);
    for (auto& thread : others) thread.join();
    return now() - start;
  }
  /// Without the time that their start takes.
  double by_processes(const kernels::OnlinePass<float>& pass, int size, Common& common) const {
    const auto wait_for = [size](const std::atomic<int>& all) {
      while (all < size) std::this_thread::yield();
    };
    const auto work = [&] {
      ++common.ready;
      wait_for(common.ready);
      take_parts(pass, common);
      ++common.done;
    };
    std::fflush(nullptr);
    std::vector<pid_t> others;
    for (int p = 1; p < size; ++p) {
      others.push_back(::fork());
      if (others.back() < 0) std::abort();
      if (others.back() > 0) continue;
      work();
      ::_exit(0);
    }
    while (common.ready < size - 1) std::this_thread::yield();
    const double start = now();
    work();
    wait_for(common.done);
    const double seconds = now() - start;
    for (const pid_t process : others) ::waitpid(process, nullptr, 0);
    return seconds;
  }

  kernels::OnlineSettings settings_{.method = kernels::OnlineMethod::adagrad,
                                    .learning_rate = 0.05};
  bench::HugeMemory own_;
  levin::HostMemory memory_;
  kernels::OnlineState<float> state_;
};

std::vector<Team> teams() {
  std::vector<Team> all{{Team::Kind::plain, 1}};
  const int cores = static_cast<int>(std::max(2U, std::thread::hardware_concurrency()));
  for (const auto kind : {Team::Kind::threads, Team::Kind::processes}) {
    for (int size = 1; size <= cores; size *= 2) all.push_back({kind, size});
  }
  return all;
}

/// Prints a table. Returns whether teams of two did as the limits say.
bool measure(const char* title, Categories categories, int rounds, int64_t rows, double limit) {
  const Data train(rows, kBits, categories, 1);
  const Data test(std::max<int64_t>(rows / 10, 1), kBits, categories, 2);
  const auto all = teams();
  std::vector<std::vector<double>> seconds(all.size());
  std::vector<double> losses(all.size());
  Learner learner;
  for (int round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < all.size(); ++turn) {
      const size_t i = (turn + static_cast<size_t>(round)) % all.size();
      seconds[i].push_back(learner.learn(train, all[i]));
      losses[i] = learner.loss(test);
    }
  }
  std::printf("%s\n%-20s %12s %14s %10s\n", title, "", "rows/s", "to one thread", "log-loss");
  const double one = bench::median(seconds[1]);
  bool is_fast = true;
  for (size_t i = 0; i < all.size(); ++i) {
    const double time = bench::median(seconds[i]);
    std::printf("%-20s %12.0f %14.2f %10.5f\n", all[i].name().c_str(),
                static_cast<double>(rows) / time, one / time, losses[i]);
    if (all[i].size != 2) continue;
    is_fast = is_fast && losses[i] <= losses[1] + kMostLoss;
    if (all[i].kind == Team::Kind::threads) is_fast = is_fast && one / time >= limit;
  }
  return is_fast;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : 400'000;
  const double limit = argc > 3 ? std::atof(argv[3]) : 0.0;
  const bool is_fast =
      measure("columns that are all as popular", Categories::uniform, rounds, rows, limit);
  std::printf("\n");
  measure("columns of popular categories (Zipf)", Categories::popular, rounds, rows, 0.0);
  return is_fast ? 0 : 1;
}
