// Measures how fast logistic regression trains on a stream of shards that aren't in the page cache,
// and compares that with the speed of reading the same files. The two take turns. The program
// creates the files in FOLDER, drops them from the page cache before each measurement (by
// posix_fadvise, which needs no root), and removes them at the end.
//   stream FOLDER [GB=2] [ROUNDS=3] [TYPE=float32|uint8] [BATCH=512] [WORKERS=1]
#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/stream.h>
#include <levin/framework/loops/stop_signal.h>
#include <levin/levin.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr int64_t kFeatures = 784;
constexpr int64_t kClasses = 10;
constexpr int64_t kShardBytes = int64_t{1} << 30;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/// Returns the value of a line of /proc/self/status, in MB.
double memory_mb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::atof(line.c_str() + name.size() + 1) / 1024.0;
  }
  return 0.0;
}

/// Measures the largest anonymous memory of this process, by looking every 10 ms.
class MemoryWatch {
 public:
  MemoryWatch()
      : thread_([this] {
          while (!done_) {
            peak_ = std::max(peak_, memory_mb("RssAnon"));
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }) {}
  ~MemoryWatch() { stop(); }
  double stop() {
    done_ = true;
    if (thread_.joinable()) thread_.join();
    return peak_;
  }

 private:
  double peak_ = 0.0;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

/// Throws after the first SIGINT or SIGTERM, so that the program ends and removes its files.
void check_signal() {
  if (levin::StopSignal::received()) throw std::runtime_error("interrupted");
}

/// A new folder in `parent`, which the destructor removes.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const fs::path& parent)
      : path_(parent / ("levin-stream-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;  // LibTorch exports a remove_all(path) of its own, which crashes
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Writes a shard of noise images. In each image, every tenth pixel is brighter; which ones depends
/// on the class.
void write_shard(const fs::path& path, int64_t rows, bool bytes, uint64_t seed) {
  using levin::readers::DType;
  const auto header = levin::readers::lvb_layout(
      {{"input", bytes ? DType::uint8 : DType::float32, {kFeatures}}, {"target", DType::int64, {}}},
      rows);
  std::ofstream file(path, std::ios::binary);
  file << levin::readers::lvb_header(header);
  levin::KeyedGenerator generator(seed);
  std::vector<char> noise(size_t{8} << 20);
  for (size_t i = 0; i + 8 <= noise.size(); i += 8) {
    const uint64_t draw = generator();
    std::memcpy(noise.data() + i, &draw, 8);
  }
  std::vector<char> record(header.stride);
  for (int64_t row = 0; row < rows; ++row) {
    check_signal();
    const auto label = static_cast<int64_t>(generator.below(kClasses));
    const char* draws = noise.data() + generator.below(noise.size() - kFeatures);
    for (int64_t i = 0; i < kFeatures; ++i) {
      const bool lit = i % kClasses == label;
      const auto value =
          static_cast<uint8_t>((static_cast<uint8_t>(draws[i]) >> 1) + (lit ? 128 : 0));
      if (bytes) {
        record[static_cast<size_t>(i)] = static_cast<char>(value);
      } else {
        const float number = static_cast<float>(value) / 255.0F;
        std::memcpy(record.data() + i * 4, &number, 4);
      }
    }
    std::memcpy(record.data() + header.offsets[1], &label, 8);
    file.write(record.data(), static_cast<std::streamsize>(record.size()));
  }
  if (!file.flush()) throw std::runtime_error("can't write " + path.string());
}

std::vector<fs::path> make_files(const fs::path& folder, int64_t total, bool bytes) {
  std::vector<fs::path> files;
  const int64_t row = bytes ? 832 : 3200;
  for (int64_t made = 0; made < total; made += kShardBytes) {
    const int64_t rows = std::max<int64_t>(1, std::min(kShardBytes, total - made) / row);
    files.push_back(folder / ("shard-" + std::to_string(files.size()) + ".lvb"));
    write_shard(files.back(), rows, bytes, files.size());
    const int descriptor = ::open(files.back().c_str(), O_RDONLY);
    ::fsync(descriptor);  // only pages that have been written to disk can be dropped from the cache
    ::close(descriptor);
    check_signal();
  }
  return files;
}

void drop_cache(const std::vector<fs::path>& files) {
  for (const auto& file : files) {
    const int descriptor = ::open(file.c_str(), O_RDONLY);
    ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    ::close(descriptor);
  }
}

struct Result {
  double gb_a_second = 0.0;
  double cpu_a_gb = 0.0;
};

/// Reads the files from beginning to end with read(), as `cat` does. If `direct`, bypasses the page
/// cache.
Result read_plainly(const std::vector<fs::path>& files, double gb, bool direct) {
  drop_cache(files);
  const size_t block = direct ? size_t{4} << 20 : size_t{1} << 20;
  void* buffer = nullptr;
  if (::posix_memalign(&buffer, 4096, block) != 0) throw std::bad_alloc();
  const std::unique_ptr<void, void (*)(void*)> owner(buffer, std::free);
  const double start = seconds();
  const double cpu = cpu_seconds();
  for (const auto& file : files) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | (direct ? O_DIRECT : 0));
    while (!levin::StopSignal::received() && ::read(descriptor, buffer, block) > 0) {
    }
    ::close(descriptor);
    check_signal();
  }
  return {gb / (seconds() - start), (cpu_seconds() - cpu) / gb};
}

Result train(const std::vector<fs::path>& files, double gb, bool bytes, int64_t batch_size,
             int64_t workers, double& anonymous, double& loss) {
  drop_cache(files);
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.string());
  levin::seed_everything(0);
  levin::StreamDataModule data({.train = names,
                                .scale = bytes ? 1.0 / 255.0 : 0.0,
                                .batch_size = batch_size,
                                .num_workers = workers,
                                .page_cache = false});
  levin::LogisticRegression model({.in_features = kFeatures, .num_classes = kClasses});
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .threads = 1});
  MemoryWatch watch;
  const double start = seconds();
  const double cpu = cpu_seconds();
  trainer.fit(model, data);
  check_signal();
  const Result result = {gb / (seconds() - start), (cpu_seconds() - cpu) / gb};
  anonymous = std::max(anonymous, watch.stop());
  loss = trainer.run().metrics().at("train_loss");
  return result;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: stream FOLDER [GB] [ROUNDS] [float32|uint8] [BATCH] [WORKERS]\n");
    return 2;
  }
  const double wanted_gb = argc > 2 ? std::atof(argv[2]) : 2.0;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 3;
  const bool bytes = argc > 4 && std::string(argv[4]) == "uint8";
  const int64_t batch_size = argc > 5 ? std::atoll(argv[5]) : 512;
  const int64_t workers = argc > 6 ? std::atoll(argv[6]) : 1;
  const levin::StopSignal signal;
  const TemporaryFolder folder(argv[1]);
  const auto files = make_files(folder.path(), static_cast<int64_t>(wanted_gb * 1e9), bytes);
  double total = 0.0;
  for (const auto& file : files) total += static_cast<double>(fs::file_size(file));
  const double gb = total / 1e9;
  std::printf("%.2f GB in %zu shards of %s, batch %lld, %lld workers; anonymous before: %.0f MB\n",
              gb, files.size(), bytes ? "uint8" : "float32", static_cast<long long>(batch_size),
              static_cast<long long>(workers), memory_mb("RssAnon"));
  std::vector<double> ratios;
  double anonymous = 0.0;
  for (int round = 0; round < rounds; ++round) {
    double loss = 0.0;
    const Result plain = read_plainly(files, gb, false);
    const Result direct = read_plainly(files, gb, true);
    const Result trained = train(files, gb, bytes, batch_size, workers, anonymous, loss);
    ratios.push_back(trained.gb_a_second / plain.gb_a_second);
    std::printf(
        "read() %.2f GB/s (%.2f CPU s/GB)  O_DIRECT %.2f GB/s (%.2f)  levin %.2f GB/s (%.2f), "
        "of read() %.2f, of O_DIRECT %.2f  loss %.4f\n",
        plain.gb_a_second, plain.cpu_a_gb, direct.gb_a_second, direct.cpu_a_gb, trained.gb_a_second,
        trained.cpu_a_gb, ratios.back(), trained.gb_a_second / direct.gb_a_second, loss);
    std::fflush(stdout);
  }
  std::printf("levin of read(), median: %.2f; anonymous memory at most %.0f MB\n", median(ratios),
              anonymous);
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
