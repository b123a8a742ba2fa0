// Measures an iteration of a solver over sparse rows with many more features than rows, on one rank
// and on several, which divide either the rows or the features (the solver's option shard). All of
// them take turns.
//
//   sharded_features [ROUNDS=3] [ROWS=2000] [LOG2_FEATURES=20] [ENTRIES=100] [SOLVER=lbfgs]
//   [RANKS=2]
//
// Each rank has one thread. Prints, for each, the milliseconds of an iteration and those in which
// rank 0 computed (the medians over the iterations of a fit without the first two, and over the
// rounds), the bytes that rank 0 sends in one, the most memory that it had at once, and the
// objective at the end.
#include <levin/framework/launch/launcher.h>
#include <levin/levin.h>

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "median.h"

namespace {

namespace fs = std::filesystem;

struct Job {
  std::string shard = "rows";
  int ranks = 1;
  int64_t rows = 2000;
  int64_t log2_features = 20;
  int64_t entries = 100;
  std::string solver = "lbfgs";
};

constexpr int64_t kIterations = 12;

/// Rows with one entry in each of as many ranges of columns of the same size, of two classes.
class SparseRows : public levin::DataModule {
 public:
  explicit SparseRows(const Job& job) {
    torch::manual_seed(1);
    const int64_t features = int64_t{1} << job.log2_features;
    const int64_t range = features / job.entries;
    const auto columns = torch::randint(range, {job.rows, job.entries}, torch::kLong) +
                         torch::arange(job.entries, torch::kLong) * range;
    const auto values = torch::randn({job.rows, job.entries});
    const auto truth = torch::randn({features});
    const auto z = (truth.index_select(0, columns.flatten()).view_as(values) * values).sum(1);
    auto rows = levin::Rows::sparse(torch::arange(job.rows + 1, torch::kLong) * job.entries,
                                    columns.to(torch::kInt).flatten(), values.flatten(), features);
    levin::NamedRows named;
    named.emplace_back("input", std::move(rows));
    named.emplace_back("target", levin::Rows((z + torch::randn_like(z) > 0).to(torch::kLong)));
    data_ = std::make_shared<levin::TensorDataset>(levin::TensorDataset::of_rows(std::move(named)));
  }
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = 1000});
  }

 private:
  std::shared_ptr<levin::TensorDataset> data_;
};

class Epochs : public levin::Callback {
 public:
  void on_train_epoch_start(levin::Run&) override {
    start_ = Clock::now();
    computed_ = std::clock();
  }
  void on_train_epoch_end(levin::Run&) override {
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start_).count());
    computing.push_back(static_cast<double>(std::clock() - computed_) / CLOCKS_PER_SEC);
  }
  std::vector<double> seconds;
  std::vector<double> computing;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
  std::clock_t computed_ = 0;
};

int train(const fs::path& output, const Job& job) {
  SparseRows data(job);
  levin::LogisticRegression model({.num_classes = 2,
                                   .l2_strength = 1e-4,
                                   .solver = job.solver,
                                   .tol = 1e-12,
                                   .shard = job.shard});
  levin::Trainer trainer({.accelerator = "cpu",
                          .strategy = job.ranks > 1 ? "ddp" : "single_device",
                          .max_epochs = kIterations,
                          .threads = 1});
  const auto& epochs = trainer.add<Epochs>();
  const auto history = trainer.fit(model, data);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double memory = static_cast<double>(usage.ru_maxrss) / 1024.0;
  if (!trainer.run().is_global_zero()) return 0;
  const std::vector<double> seconds(epochs.seconds.begin() + 2, epochs.seconds.end());
  const std::vector<double> computing(epochs.computing.begin() + 2, epochs.computing.end());
  const auto& metrics = history.epochs.back().metrics;
  const double bytes = job.ranks > 1 ? metrics.at("comm_bytes") : 0.0;
  std::ofstream(output) << std::setprecision(15) << bench::median(seconds) << ' '
                        << bench::median(computing) << ' ' << bytes << ' ' << memory << ' '
                        << metrics.at("objective") << '\n';
  return 0;
}

struct Result {
  double seconds = 0.0;
  double computing = 0.0;
  double bytes = 0.0;
  double memory = 0.0;
  double objective = 0.0;
};

Result run(const fs::path& folder, const Job& job) {
  const fs::path output = folder / "result";
  levin::LaunchOptions options{.processes = job.ranks};
  options.command = {fs::read_symlink("/proc/self/exe").string(),
                     "--rank",
                     output.string(),
                     job.shard,
                     std::to_string(job.ranks),
                     std::to_string(job.rows),
                     std::to_string(job.log2_features),
                     std::to_string(job.entries),
                     job.solver};
  std::fflush(nullptr);
  if (const int status = levin::launch(options); status != 0) {
    throw std::runtime_error("a rank ended with status " + std::to_string(status));
  }
  Result result;
  std::ifstream(output) >> result.seconds >> result.computing >> result.bytes >> result.memory >>
      result.objective;
  return result;
}

void compare(Job job, int ranks, int rounds) {
  std::string folder = (fs::temp_directory_path() / "sharded-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no temporary folder");
  std::vector<Job> jobs(3, job);
  jobs[0].shard = "rows";
  jobs[1].shard = "rows";
  jobs[2].shard = "features";
  jobs[1].ranks = jobs[2].ranks = ranks;
  std::vector<std::vector<Result>> results(jobs.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < jobs.size(); ++i) results[i].push_back(run(folder, jobs[i]));
  }
  std::printf("%s, %lld rows of %lld entries, 2^%lld features\n", job.solver.c_str(),
              static_cast<long long>(job.rows), static_cast<long long>(job.entries),
              static_cast<long long>(job.log2_features));
  for (size_t i = 0; i < jobs.size(); ++i) {
    std::vector<double> seconds;
    std::vector<double> computing;
    std::vector<double> memory;
    for (const auto& each : results[i]) {
      seconds.push_back(each.seconds);
      computing.push_back(each.computing);
      memory.push_back(each.memory);
    }
    std::printf(
        "%d rank(s), %-8s  %8.2f ms (%.2f ms computing)  %12.0f bytes  %7.0f MiB  objective "
        "%.12f\n",
        jobs[i].ranks, jobs[i].shard.c_str(), 1e3 * bench::median(seconds),
        1e3 * bench::median(computing), results[i].front().bytes, bench::median(memory),
        results[i].front().objective);
  }
  fs::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](size_t i, int64_t otherwise) {
    return words.size() > i ? std::stoll(words[i]) : otherwise;
  };
  if (words.size() == 8 && words[0] == "--rank") {
    return train(words[1], {.shard = words[2],
                            .ranks = static_cast<int>(number(3, 1)),
                            .rows = number(4, 0),
                            .log2_features = number(5, 0),
                            .entries = number(6, 0),
                            .solver = words[7]});
  }
  Job job{.shard = "rows",
          .rows = number(1, 2000),
          .log2_features = number(2, 20),
          .entries = number(3, 100)};
  if (words.size() > 4) job.solver = words[4];
  compare(job, static_cast<int>(number(5, 2)), static_cast<int>(number(0, 3)));
}
