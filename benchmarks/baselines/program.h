#pragma once

// The common part of the benchmark programs in C++: their arguments, the measurement of time and
// memory, and the line of JSON that bench.py reads. It doesn't use LibTorch. program.py is the
// counterpart for the programs in Python.

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

/// A problem to train: an MLP, or softmax regression if there are no hidden layers. All programs
/// use the mean cross-entropy and Adam with learning rate 1e-3, and shuffle the rows in each epoch.
struct Problem {
  const char* name;
  int64_t features;
  int64_t classes;
  std::vector<int64_t> hidden_sizes;
  bool is_mnist() const { return features == 784; }
};

inline Problem find_problem(const std::string& name) {
  const Problem problems[] = {{"logistic_regression", 784, 10, {}},
                              {"mlp", 784, 10, {32}},
                              {"wide_mlp", 784, 10, {512, 512}},
                              {"iris", 4, 3, {}},
                              {"digits", 64, 10, {}}};
  for (const Problem& problem : problems) {
    if (name == problem.name) return problem;
  }
  throw std::invalid_argument("there is no problem called " + name +
                              "; see benchmarks/baselines/README.md");
}

/// The arguments of a program. Each is given as `--name value`, with hyphens for underscores.
struct Arguments {
  std::string problem = "logistic_regression";
  /// Which of its loops the program runs, if it has several.
  std::string loop = "fused";
  /// The type in which MNIST's pixels are kept: "float32" or "uint8".
  std::string storage = "float32";
  /// The folder of MNIST's four IDX files, gzipped or not; by default $MNIST_DIR.
  std::string mnist;
  /// The folder of iris.csv and digits.csv.
  std::string tables = "datamodules/data";
  /// The number of threads. Levin's program also accepts "auto" and "all".
  std::string threads = "1";
  int64_t batch_size = 128;
  int64_t epochs = 3;
  /// If 1, the program stops after the first step, since only the time until then is measured.
  int64_t only_first_step = 0;
};

inline Arguments parse(int argc, char** argv) {
  Arguments result;
  if (const char* folder = std::getenv("MNIST_DIR")) result.mnist = folder;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--problem") {
      result.problem = value;
    } else if (name == "--loop") {
      result.loop = value;
    } else if (name == "--storage") {
      result.storage = value;
    } else if (name == "--mnist") {
      result.mnist = value;
    } else if (name == "--tables") {
      result.tables = value;
    } else if (name == "--threads") {
      result.threads = value;
    } else if (name == "--batch-size") {
      result.batch_size = std::stoll(value);
    } else if (name == "--epochs") {
      result.epochs = std::stoll(value);
    } else if (name == "--only-first-step") {
      result.only_first_step = std::stoll(value);
    } else {
      throw std::invalid_argument("there is no option called " + name);
    }
  }
  if (result.mnist.empty() && find_problem(result.problem).is_mnist()) {
    throw std::invalid_argument("this problem needs MNIST; give --mnist DIR or set MNIST_DIR");
  }
  if (result.storage != "float32" && result.storage != "uint8") {
    throw std::invalid_argument("--storage must be float32 or uint8, not " + result.storage);
  }
  if (result.batch_size < 1 || result.epochs < 1) {
    throw std::invalid_argument("--batch-size and --epochs must be at least 1");
  }
  return result;
}

/// Returns the anonymous memory of this process in bytes, that is, without files that it maps; 0 if
/// unknown.
inline int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssAnon:", 0) == 0) return std::atoll(line.c_str() + 8) * 1024;
  }
  return 0;
}

inline int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

/// Measures the time and memory of a training. Construct it before the data are read.
class Recorder {
 public:
  using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, Python's time.monotonic_ns

  void start() { last_ = Clock::now(); }
  /// Call this after each step, or after the first step only.
  void step() {
    if (first_step_ns_ == 0) first_step_ns_ = now_ns();
  }
  void epoch() {
    const auto now = Clock::now();
    epoch_seconds_.push_back(std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  /// Call this at the end of the training. Nothing after it is measured.
  void finish() {
    peak_ = peak_bytes();
    grown_ = anonymous_bytes() - before_;
  }

  /// Prints the line of JSON. `rows` is the number of training rows. `accuracy` is that of the
  /// trained model, on MNIST's test images or otherwise on the training rows. `libraries` names the
  /// libraries with their versions. `more` is added to the line, such as `"device": "a GPU"`.
  void print(const Arguments& arguments, int64_t rows, double accuracy,
             const std::string& libraries, const std::string& more = {}) const;
  const std::vector<double>& epoch_seconds() const { return epoch_seconds_; }

 private:
  static int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
        .count();
  }

  int64_t before_ = anonymous_bytes();
  int64_t grown_ = 0;
  int64_t peak_ = 0;
  int64_t first_step_ns_ = 0;
  Clock::time_point last_ = Clock::now();
  std::vector<double> epoch_seconds_;
};

/// Returns the compiler and the flags with which this program was built.
inline std::string built_by() {
#ifdef __clang__
  std::string text = __VERSION__;
#else
  std::string text = std::string("gcc ") + __VERSION__;
#endif
#ifdef LEVIN_BENCH_FLAGS
  text += std::string(" ") + LEVIN_BENCH_FLAGS;
#endif
#ifndef __OPTIMIZE__
  text += " (NOT optimised)";
#endif
  return text;
}

inline std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

inline void Recorder::print(const Arguments& arguments, int64_t rows, double accuracy,
                            const std::string& libraries, const std::string& more) const {
  std::string seconds;
  for (const double value : epoch_seconds_) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%s%.9f", seconds.empty() ? "" : ", ", value);
    seconds += digits;
  }
  const std::string built = built_by() + (libraries.empty() ? "" : ", " + libraries);
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  std::printf(
      "{\"problem\": %s, \"loop\": %s, \"storage\": %s, \"batch_size\": %lld, \"threads\": %s, "
      "\"steps_per_epoch\": %lld, \"epoch_seconds\": [%s], \"first_step_ns\": %lld, "
      "\"peak_bytes\": %lld, \"grown_bytes\": %lld, \"accuracy\": %.4f, \"built\": %s%s}\n",
      quoted(arguments.problem).c_str(), quoted(arguments.loop).c_str(),
      quoted(arguments.storage).c_str(), number(arguments.batch_size),
      quoted(arguments.threads).c_str(),
      number((rows + arguments.batch_size - 1) / arguments.batch_size), seconds.c_str(),
      number(first_step_ns_), number(peak_), number(grown_), accuracy, quoted(built).c_str(),
      more.empty() ? "" : (", " + more).c_str());
}

}  // namespace bench
