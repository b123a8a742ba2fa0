// Measures how long it takes until a training of three ranks on this host has ended after one of
// them has failed: until the process that launched the ranks has exited, and with it all of them.
// A rank is killed (kill -9), throws an exception, or is stopped (SIGSTOP), which the others notice
// by its silence, with a heartbeat_timeout of one second. The ranks take turns to fail, each at a
// random moment.
//   failure [ROUNDS=10] [pipeline|parameter_server]
// With `pipeline`, the ranks are the stages of a pipeline. With `parameter_server`, the first two
// have parameter servers, and no rank waits for the steps of another one.
// The exit status is 1 if a training ended in another way than its failure should have ended it.
#include <levin/levin.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr int64_t kRanks = 3;
constexpr int64_t kFirstSteps = 20;  // until a rank says that it trains
constexpr double kMostSeconds = 120;

/// All processes of a host share this clock.
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void write_whole(const fs::path& path, const std::string& text) {
  const fs::path part = path.string() + ".part";
  std::ofstream(part) << text;
  fs::rename(part, path);
}

double read_number(const fs::path& path) {
  double number = 0.0;
  if (!(std::ifstream(path) >> number)) throw std::runtime_error("no number in " + path.string());
  return number;
}

void remove_folder(const fs::path& folder) {
  std::error_code ignored;  // LibTorch exports a remove_all(path) of its own, which crashes
  fs::remove_all(folder, ignored);
}

fs::path of_rank(const fs::path& folder, const char* what, int64_t rank) {
  return folder / (what + std::to_string(rank));
}

// --- a rank ------------------------------------------------------------------------------------

class Rows : public levin::DataModule {
 public:
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = 16, .shuffle = true});
  }

 private:
  std::shared_ptr<levin::TensorDataset> data_ = std::make_shared<levin::TensorDataset>(
      torch::rand({4800, 32}), torch::randint(4, {4800}, torch::kLong));
};

/// Says that its rank trains, and throws when it is told to.
class Fails : public levin::Callback {
 public:
  struct Options {
    fs::path folder{};
  };
  explicit Fails(Options options) : folder_(std::move(options.folder)) {}
  std::string state_key() const override { return "Fails"; }
  void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step& step) override {
    const int64_t rank = step.run().ranks().rank();
    if (step.global_step() == kFirstSteps) {
      write_whole(of_rank(folder_, "process-", rank), std::to_string(::getpid()));
    }
    if (!fs::exists(of_rank(folder_, "throw-", rank))) return;
    write_whole(folder_ / "thrown", std::to_string(now()));
    throw std::runtime_error("the model broke");
  }

 private:
  fs::path folder_;
};

int train(const fs::path& folder, const std::string& kind) {
  Rows data;
  levin::MLP model({.in_features = 32, .num_classes = 4, .hidden_sizes = {64, 64}});
  levin::TrainerOptions options{.accelerator = "cpu",
                                .devices = kRanks,
                                .max_epochs = -1,
                                .threads = 1,
                                .heartbeat_timeout = 1.0};
  if (kind == "pipeline") options.pipeline_size = kRanks;
  if (kind == "parameter_server") {
    options.strategy = kind;
    options.parameter_server = {"asp", levin::Value::Object{{"servers", 2}}};
  }
  levin::Trainer trainer(options);
  trainer.add<Fails>({.folder = folder});
  trainer.fit(model, data);
  return 0;
}

// --- measuring ---------------------------------------------------------------------------------

/// One way to fail.
struct Failure {
  const char* name;
  int signal;  // sent to the rank; 0: it throws
  int status;  // with which the launcher ends
};

pid_t start(const fs::path& folder, const std::string& kind) {
  const std::string own = fs::read_symlink("/proc/self/exe").string();
  const std::string log = (folder / "log").string();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT, 0600);
  ::dup2(file, 1);
  ::dup2(file, 2);
  ::execl(own.c_str(), own.c_str(), "--train", folder.c_str(), kind.c_str(),
          static_cast<char*>(nullptr));
  ::_exit(127);
}

/// Waits until `holds`; kills the training if it doesn't within kMostSeconds.
void wait_until(pid_t child, const std::string& what, const std::function<bool()>& holds) {
  for (const double end = now() + kMostSeconds; !holds();) {
    if (now() > end) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      throw std::runtime_error("timed out: " + what);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Lets `rank` fail, and returns the moment.
double fail(const fs::path& folder, pid_t child, const Failure& failure, int64_t rank) {
  if (failure.signal == 0) {
    write_whole(of_rank(folder, "throw-", rank), "");
    wait_until(child, "no exception", [&] { return fs::exists(folder / "thrown"); });
    return read_number(folder / "thrown");
  }
  const auto process = static_cast<pid_t>(read_number(of_rank(folder, "process-", rank)));
  const double moment = now();
  if (::kill(process, failure.signal) != 0) throw std::runtime_error("the rank isn't there");
  return moment;
}

/// Returns the seconds from the failure of `rank` until the launcher has ended.
double measure(const fs::path& folder, const std::string& kind, const Failure& failure,
               int64_t rank, double delay) {
  fs::create_directories(folder);
  const pid_t child = start(folder, kind);
  wait_until(child, "the ranks don't train", [&] {
    for (int64_t r = 0; r < kRanks; ++r) {
      if (!fs::exists(of_rank(folder, "process-", r))) return false;
    }
    return true;
  });
  std::this_thread::sleep_for(std::chrono::duration<double>(delay));
  const double failed = fail(folder, child, failure, rank);
  int status = 0;
  wait_until(child, "the launcher hasn't ended",
             [&] { return ::waitpid(child, &status, WNOHANG) == child; });
  const double seconds = now() - failed;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != failure.status) {
    std::ifstream log(folder / "log");
    std::string text(std::istreambuf_iterator<char>(log), {});
    throw std::runtime_error(std::string(failure.name) + ": the launcher ended otherwise: " + text);
  }
  remove_folder(folder);
  return seconds;
}

void print(const char* name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::printf("%-36s median %.3f s (min %.3f, max %.3f)\n", name, values[values.size() / 2],
              values.front(), values.back());
}

int measure_all(const fs::path& folder, int rounds, const std::string& kind) {
  const std::vector<Failure> failures = {{"kill -9", SIGKILL, 128 + SIGKILL},
                                         {"an exception", 0, 1},
                                         {"SIGSTOP, heartbeat_timeout 1 s", SIGSTOP, 1}};
  std::vector<std::vector<double>> seconds(failures.size());
  std::mt19937 random(std::random_device{}());
  std::uniform_real_distribution<double> delay(0.0, 0.3);
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < failures.size(); ++i) {
      seconds[i].push_back(
          measure(folder / "run", kind, failures[i], round % kRanks, delay(random)));
    }
  }
  const char* ranks = kind == "pipeline"           ? "stages"
                      : kind == "parameter_server" ? "ranks with two parameter servers"
                                                   : "ranks";
  std::printf("%d rounds of %lld %s; from the failure of one until the launcher has ended\n",
              rounds, static_cast<long long>(kRanks), ranks);
  for (size_t i = 0; i < failures.size(); ++i) print(failures[i].name, seconds[i]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 4 && std::string(argv[1]) == "--train") return train(argv[2], argv[3]);
  const std::string kind = argc > 2 ? argv[2] : "ddp";
  if (kind != "ddp" && kind != "pipeline" && kind != "parameter_server") {
    throw std::invalid_argument("unknown kind of runs: " + kind);
  }
  std::string name = (fs::temp_directory_path() / "levin-failure-XXXXXX").string();
  const fs::path folder = ::mkdtemp(name.data());
  int status = 1;
  try {
    status = measure_all(folder, argc > 1 ? std::atoi(argv[1]) : 10, kind);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failure: %s\n", error.what());
  }
  remove_folder(folder);
  return status;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
