// Trains logistic regression of ImageNet's size, 150,528 features and 1,000 classes, on rows of
// random bytes, and states each step as a share of what the machine can do at most.
//   gpu_imagenet [--rows N] [--stream-rows N] [--steps N=48]
// On a GPU: rows that live there (N = 32,768 of them), and rows that are streamed from the host
// (N = 16,384, again and again), once as slices of pinned memory and once as rows picked at random,
// which workers copy into pinned batches. On the CPU: 512 rows, where they lie and by a worker.
//
// A step of B rows, F features and K classes is bound by the longest of three times:
// - arithmetic: 4 B F K operations, two for each weight and row in the forward pass and two for the
//   gradient, at the rate of a product of bfloat16 matrices of 8192 x 8192;
// - the device's memory: B F bytes of rows, read once, and 16 F K of weights and gradients,
// float32,
//   each read once and written once, at the rate of a copy within the device, which reads and
//   writes;
// - the link, if rows are streamed: B F bytes, at the rate of copies from pinned memory.
// What the step moves besides, such as the rows as bfloat16 numbers, counts as loss. The last
// columns are the time of ImageNet's 1,281,167 images at that rate, and how many times faster that
// is than the 30 minutes that were reported for two V100.
#include <torch/cuda.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "measured_fit.h"

namespace {

constexpr int64_t kPixels = 3 * 224 * 224;
constexpr int64_t kCategories = 1000;
constexpr double kImages = 1'281'167.0;
constexpr double kReportedSeconds = 30.0 * 60.0;  // of an epoch on two V100
constexpr levin::ByteScale kScale{.scale = 1.0F / 255.0F};

// --- what the machine can do at most ------------------------------------------------------------

struct Ceilings {
  double link = 0.0;    // bytes a second from pinned memory to the device
  double memory = 0.0;  // bytes a second read and written by a copy within the device
  double flops = 0.0;   // a second, of bfloat16 numbers with float32 sums
};

/// Returns the median seconds of `work` on the device.
double seconds_of(const std::function<void()>& work) {
  constexpr int kTries = 5;
  constexpr int kRepeats = 8;
  std::vector<double> seconds;
  for (int i = 0; i <= kTries; ++i) {
    torch::cuda::synchronize();
    const auto started = bench::Clock::now();
    for (int k = 0; k < kRepeats; ++k) work();
    torch::cuda::synchronize();
    if (i > 0) seconds.push_back(bench::seconds_since(started) / kRepeats);  // 0 warms up
  }
  return bench::median(seconds);
}

Ceilings measure_ceilings() {
  constexpr int64_t kBytes = int64_t{1} << 29;
  constexpr int64_t kSize = 8192;
  Ceilings ceilings;
  const auto bytes = at::TensorOptions(at::kByte);
  const auto host = at::randint(256, {kBytes}, bytes).pin_memory();
  const auto device = at::empty({kBytes}, bytes.device(at::kCUDA));
  ceilings.link = kBytes / seconds_of([&] { device.copy_(host, /*non_blocking=*/true); });
  const auto other = at::empty_like(device);
  ceilings.memory = 2.0 * kBytes / seconds_of([&] { other.copy_(device); });
  const auto numbers = at::TensorOptions(at::kBFloat16).device(at::kCUDA);
  const auto a = at::randn({kSize, kSize}, numbers);
  const auto b = at::randn({kSize, kSize}, numbers);
  auto out = at::empty({kSize, kSize}, numbers);
  ceilings.flops = 2.0 * kSize * kSize * kSize / seconds_of([&] { at::mm_out(out, a, b); });
  return ceilings;
}

// --- the rows -----------------------------------------------------------------------------------

struct Images {
  torch::Tensor bytes;   // [rows, kPixels]
  torch::Tensor labels;  // [rows]
};

/// Random images, made on `device`.
Images make_images(int64_t rows, at::Device device) {
  return {at::randint(256, {rows, kPixels}, at::TensorOptions(at::kByte).device(device)),
          at::randint(kCategories, {rows}, at::TensorOptions(at::kLong).device(device))};
}

/// Images in memory, where a step may read them.
class Resident : public levin::DataModule {
 public:
  Resident(const Images& images, int64_t batch_size) : batch_size_(batch_size) {
    data_ = std::make_shared<levin::TensorDataset>(images.bytes, images.labels);
    data_->set_scale("input", kScale);
  }
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(data_, {.batch_size = batch_size_, .shuffle = true});
  }

 private:
  int64_t batch_size_;
  std::shared_ptr<levin::TensorDataset> data_;
};

/// The same images again and again, as a stream has no end that matters.
class Repeated : public levin::Dataset {
 public:
  Repeated(Images images, int64_t size, bool as_slices)
      : images_(std::move(images)), size_(size), as_slices_(as_slices) {}
  std::optional<int64_t> size() const override { return size_; }
  void get_batch(std::span<const int64_t> rows, levin::Batch& out) const override {
    const int64_t made = images_.labels.size(0);
    const auto count = static_cast<int64_t>(rows.size());
    auto& entries = out.entries();
    entries.resize(2);
    entries[0].first = "input";
    entries[1].first = "target";
    if (as_slices_) {
      const int64_t first = rows[0] % (made - count + 1);
      entries[0].second = images_.bytes.narrow(0, first, count);
      entries[1].second = images_.labels.narrow(0, first, count);
      return;
    }
    const auto& bytes = entries[0].second.allocate(count, {kPixels}, at::kByte);
    const auto& labels = entries[1].second.allocate(count, {}, at::kLong);
    auto* to = bytes.mutable_data_ptr<uint8_t>();
    for (const int64_t row : rows) {
      std::memcpy(to, images_.bytes.const_data_ptr<uint8_t>() + row % made * kPixels, kPixels);
      to += kPixels;
    }
    for (int64_t i = 0; i < count; ++i) {
      labels.mutable_data_ptr<int64_t>()[i] =
          images_.labels.const_data_ptr<int64_t>()[rows[static_cast<size_t>(i)] % made];
    }
  }

 private:
  Images images_;
  int64_t size_;
  bool as_slices_;
};

/// Batches that are made on the host and move to the device as bytes. They get their scale there.
class Streamed : public levin::DataModule {
 public:
  Streamed(std::shared_ptr<const levin::Dataset> data, levin::DataLoaderOptions options)
      : data_(std::move(data)), options_(std::move(options)) {}
  levin::DataLoaders train_dataloader() override { return levin::DataLoader(data_, options_); }
  void on_after_batch_transfer(levin::Batch& batch) override {
    batch.set("input", levin::Rows(batch.input(), kScale));
  }

 private:
  std::shared_ptr<const levin::Dataset> data_;
  levin::DataLoaderOptions options_;
};

// --- the steps ----------------------------------------------------------------------------------

struct WindowOptions {
  int64_t size = 1;   // steps that are timed together
  int64_t first = 1;  // steps that aren't counted: memory is allocated in them
};

/// Times windows of steps.
class Windows : public levin::Callback {
 public:
  using Options = WindowOptions;
  explicit Windows(WindowOptions options) : options_(options) {}
  void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step&) override {
    if (++steps_ % options_.size != 0) return;
    if (torch::cuda::is_available()) torch::cuda::synchronize();
    const auto now = bench::Clock::now();
    if (steps_ > options_.first) {
      const std::chrono::duration<double> passed = now - before_;
      seconds_.push_back(passed.count() / static_cast<double>(options_.size));
    }
    before_ = now;
  }
  double median() const { return bench::median(seconds_); }

 private:
  WindowOptions options_;
  int64_t steps_ = 0;
  bench::Clock::time_point before_;
  std::vector<double> seconds_;
};

constexpr WindowOptions kOnGpu{.size = 4, .first = 8};
constexpr WindowOptions kOnCpu{.size = 1, .first = 1};

levin::LogisticRegression make_model(const std::string& products) {
  return levin::LogisticRegression({.in_features = kPixels,
                                    .num_classes = kCategories,
                                    .learning_rate = 1e-4,
                                    .optimizer = "SGD",
                                    .products = products});
}

/// Returns the median seconds of a step.
double step_seconds(levin::Module& model, levin::DataModule& data, const std::string& accelerator,
                    int64_t steps) {
  levin::Trainer trainer({.accelerator = accelerator, .max_epochs = -1, .max_steps = steps});
  const auto& windows = trainer.add<Windows>(accelerator == "gpu" ? kOnGpu : kOnCpu);
  trainer.fit(model, data);
  return windows.median();
}

struct Result {
  std::string rows;
  int64_t batch_size;
  double seconds;
  bool is_streamed = false;
};

void print_line(const Result& result, const Ceilings& ceilings, std::string& json) {
  const auto batch = static_cast<double>(result.batch_size);
  const double weights = static_cast<double>(kPixels) * kCategories;
  const double bytes = batch * kPixels;
  const double link = result.is_streamed ? 1e3 * bytes / ceilings.link : 0.0;
  const double memory = 1e3 * (bytes + 16.0 * weights) / ceilings.memory;
  const double arithmetic = 1e3 * 4.0 * batch * weights / ceilings.flops;
  const double bound = std::max({link, memory, arithmetic});
  const char* binds = bound == link ? "link" : bound == memory ? "memory" : "arithmetic";
  const double step = 1e3 * result.seconds;
  const double epoch = kImages / batch * result.seconds;
  std::printf("| %s | %lld | %.2f | %.0f | %.2f | %.2f | %.2f | %s | %.0f %% | %.1f | %.0f |\n",
              result.rows.c_str(), static_cast<long long>(result.batch_size), step,
              batch / result.seconds, link, memory, arithmetic, binds, 100.0 * bound / step, epoch,
              kReportedSeconds / epoch);
  char text[300];
  std::snprintf(text, sizeof(text),
                "%s{\"rows\": \"%s\", \"batch_size\": %lld, \"step_ms\": %.4f, \"rows_s\": %.1f, "
                "\"bound_by\": \"%s\", \"share\": %.4f, \"epoch_s\": %.2f}",
                json.empty() ? "" : ", ", result.rows.c_str(),
                static_cast<long long>(result.batch_size), step, batch / result.seconds, binds,
                bound / step, epoch);
  json += text;
}

struct Arguments {
  int64_t rows = 0;  // 0: as many as fit the device
  int64_t stream_rows = 16'384;
  int64_t steps = 48;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const int64_t value = std::atoll(argv[i + 1]);
    if (name == "--rows") arguments.rows = value;
    if (name == "--stream-rows") arguments.stream_rows = value;
    if (name == "--steps") arguments.steps = value;
  }
  arguments.steps = std::max(arguments.steps, kOnGpu.first + kOnGpu.size);
  return arguments;
}

std::vector<Result> measure_gpu(const Arguments& arguments) {
  std::vector<Result> results;
  auto model = make_model("bfloat16");
  {
    const auto images = make_images(arguments.rows > 0 ? arguments.rows : 32'768, at::kCUDA);
    for (const int64_t batch_size : {1024, 4096, 8192, 16'384}) {
      if (batch_size > images.labels.size(0)) continue;
      Resident data(images, batch_size);
      const double seconds = step_seconds(model, data, "gpu", arguments.steps);
      results.push_back({"on the GPU", batch_size, seconds});
    }
  }
  auto images = make_images(arguments.stream_rows, at::kCUDA);
  const auto pinned = at::TensorOptions().pinned_memory(true);
  const Images host{at::empty_like(images.bytes, pinned.device(at::kCPU)).copy_(images.bytes),
                    images.labels.cpu().pin_memory()};
  images = {};
  const auto stream = [&](const char* name, int64_t batch_size, bool as_slices, int64_t workers) {
    if (batch_size > arguments.stream_rows) return;
    const auto data = std::make_shared<Repeated>(host, batch_size * arguments.steps, as_slices);
    Streamed streamed(data, {.batch_size = batch_size,
                             .shuffle = !as_slices,
                             .num_workers = workers,
                             .prefetch_factor = as_slices ? 2 : 1});
    const double seconds = step_seconds(model, streamed, "gpu", arguments.steps);
    results.push_back({name, batch_size, seconds, /*is_streamed=*/true});
  };
  for (const int64_t batch_size : {1024, 4096, 8192, 16'384}) {
    stream("streamed, slices", batch_size, true, 1);
  }
  // Larger batches would take tens of GB of pinned memory.
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  const int64_t workers = std::clamp<int64_t>(cores - 2, 1, 12);
  for (const int64_t batch_size : {1024, 4096}) {
    stream("streamed, picked", batch_size, false, workers);
  }
  return results;
}

void print_gpu(const Arguments& arguments, std::string& json) {
  const auto ceilings = measure_ceilings();
  std::printf("GPU: link %.1f GB/s, memory %.2f TB/s, bfloat16 %.0f TFLOP/s\n\n",
              1e-9 * ceilings.link, 1e-12 * ceilings.memory, 1e-12 * ceilings.flops);
  std::printf(
      "A step of B rows takes 4 x B x %lld x %lld operations, B x %lld bytes of rows, and %.2f GB "
      "of "
      "weights and gradients.\n\n",
      static_cast<long long>(kPixels), static_cast<long long>(kCategories),
      static_cast<long long>(kPixels), 16e-9 * kPixels * kCategories);
  const auto results = measure_gpu(arguments);
  std::printf(
      "| rows | batch | ms a step | rows/s | link, ms | memory, ms | arithmetic, ms | bound by | "
      "share | s an epoch | times faster than two V100 |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|\n");
  std::string lines;
  for (const auto& result : results) print_line(result, ceilings, lines);
  char text[200];
  std::snprintf(
      text, sizeof(text),
      "\"link_gb_s\": %.2f, \"memory_gb_s\": %.1f, \"bfloat16_tflop_s\": %.1f, \"gpu\": [",
      1e-9 * ceilings.link, 1e-9 * ceilings.memory, 1e-12 * ceilings.flops);
  json += text + lines + "], ";
}

void print_cpu(const Arguments& arguments, std::string& json) {
  constexpr int64_t kBatch = 64;
  constexpr int64_t kSteps = 5;
  const int64_t rows = arguments.rows > 0 && !torch::cuda::is_available() ? arguments.rows : 512;
  const auto images = make_images(std::max(rows, kBatch), at::kCPU);
  std::printf("\n| CPU, products | rows | batch | ms a step | rows/s |\n|---|---|---|---|---|\n");
  std::string lines;
  for (const std::string products : {"float32", "bfloat16"}) {
    auto model = make_model(products);
    const auto measure = [&](const char* name, levin::DataModule& data) {
      const double seconds = step_seconds(model, data, "cpu", kSteps);
      std::printf("| %s | %s | %lld | %.1f | %.0f |\n", products.c_str(), name,
                  static_cast<long long>(kBatch), 1e3 * seconds, kBatch / seconds);
      char text[200];
      std::snprintf(text, sizeof(text),
                    "%s{\"products\": \"%s\", \"rows\": \"%s\", \"batch_size\": %lld, "
                    "\"step_ms\": %.2f}",
                    lines.empty() ? "" : ", ", products.c_str(), name,
                    static_cast<long long>(kBatch), 1e3 * seconds);
      lines += text;
    };
    Resident resident(images, kBatch);
    measure("in memory", resident);
    if (products == "float32") continue;
    Streamed streamed(std::make_shared<Repeated>(images, kBatch * kSteps, /*as_slices=*/false),
                      {.batch_size = kBatch, .shuffle = true, .num_workers = 1});
    measure("streamed", streamed);
  }
  json += "\"cpu\": [" + lines + "]";
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
  std::string json;
  if (torch::cuda::is_available()) {
    print_gpu(arguments, json);
  } else {
    std::printf("no GPU: the CPU alone\n");
  }
  print_cpu(arguments, json);
  std::printf("\n{%s}\n", json.c_str());
}
