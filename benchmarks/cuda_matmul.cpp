// Measures the tiled matrix product beside cuBLAS (at::mm in float32, without TF32), and prints a
// table in Markdown. Each round measures all of them, so that shares of cuBLAS are those of one
// moment.
//   cuda_matmul [ROUNDS=11]
// The times are medians of the rounds, taken by CUDA events around as many products as take some
// milliseconds. If the result differs from cuBLAS's, the program fails. Without a GPU it says so
// and succeeds.
#include <c10/core/Event.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/tiled_matmul.h>
#include <levin/levin.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "median.h"

namespace {

using levin::kernels::cuda::TiledMatmul;

constexpr int64_t kSizes[] = {256, 1000, 1024, 2048, 4096};
constexpr double kMilliseconds = 5.0;  // that a measurement takes at least

struct Subject {
  std::string name;
  double loads_per_element;  // 0: not known
  std::function<void()> multiply;
  int64_t repeats = 1;
  std::vector<double> times{};  // milliseconds a product, by round
};

/// Returns the milliseconds that a product takes.
double measure(const Subject& subject) {
  const c10::Stream stream(c10::Stream::DEFAULT, at::Device(at::kCUDA, 0));
  c10::Event start(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);  // the kind that takes times
  c10::Event end(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
  start.record(stream);
  for (int64_t i = 0; i < subject.repeats; ++i) subject.multiply();
  end.record(stream);
  end.synchronize();
  return start.elapsedTime(end) / static_cast<double>(subject.repeats);
}

Subject tiled(const char* name, int64_t tile, const torch::Tensor& a, const torch::Tensor& b,
              torch::Tensor& c) {
  const int64_t size = a.size(0);
  const TiledMatmul product{.a = a.const_data_ptr<float>(),
                            .b = b.const_data_ptr<float>(),
                            .c = c.mutable_data_ptr<float>(),
                            .m = size,
                            .n = size,
                            .k = size,
                            .tile = tile};
  const double loads = static_cast<double>(levin::kernels::cuda::loads_of(product)) /
                       static_cast<double>(size * size);
  return {name, loads, [product] { levin::kernels::cuda::tiled_matmul(product, nullptr); }};
}

void check(const Subject& subject, const torch::Tensor& c, const torch::Tensor& expected) {
  c.zero_();
  subject.multiply();
  const double error = ((c - expected).norm() / expected.norm()).item<double>();
  if (!(error < 1e-5)) {
    throw std::runtime_error(subject.name + ", size " + std::to_string(c.size(0)) +
                             ": the relative difference to cuBLAS is " + std::to_string(error));
  }
}

/// Measures the products of square matrices of one size and prints their lines.
void run(int64_t size, int rounds) {
  const auto options = at::device(at::Device(at::kCUDA, 0)).dtype(at::kFloat);
  const auto a = torch::randn({size, size}, options);
  const auto b = torch::randn({size, size}, options);
  auto c = torch::empty({size, size}, options);
  std::vector<Subject> subjects{tiled("no tiles", 1, a, b, c),
                                tiled("tiles of 16", 16, a, b, c),
                                tiled("tiles of 32", 32, a, b, c),
                                {"cuBLAS", 0.0, [&] { at::mm_out(c, a, b); }}};
  const auto expected = at::mm(a, b);
  for (Subject& subject : subjects) {
    check(subject, c, expected);
    for (int i = 0; i < 2; ++i) {  // the first measurement warms up
      const double time = measure(subject);
      subject.repeats = std::clamp<int64_t>(std::llround(kMilliseconds / time), 1, 1000);
    }
  }
  for (int round = 0; round < rounds; ++round) {
    for (Subject& subject : subjects) subject.times.push_back(measure(subject));
  }

  const double operations = 2.0 * std::pow(static_cast<double>(size), 3.0);
  const double cublas = bench::median(subjects.back().times);
  for (const Subject& subject : subjects) {
    const double time = bench::median(subject.times);
    const auto [low, high] = std::minmax_element(subject.times.begin(), subject.times.end());
    std::printf("| %lld | %s | ", static_cast<long long>(size), subject.name.c_str());
    if (subject.loads_per_element > 0.0) {
      std::printf("%.1f", subject.loads_per_element);
    } else {
      std::printf("-");
    }
    std::printf(" | %.4f (%.4f-%.4f) | %.0f | %.3f |\n", time, *low, *high,
                1e-6 * operations / time, cublas / time);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const int rounds = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 11;
  if (levin::cuda_device_count() == 0) {
    std::printf("no GPU\n");
    return 0;
  }
  if (!levin::kernels::cuda::are_built()) {
    std::printf("this build has no CUDA kernels\n");
    return 0;
  }
  const at::NoTF32Guard no_tf32;
  std::printf(
      "| size | product | loads per element | ms (min-max) | GFLOP/s | share of cuBLAS |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const int64_t size : kSizes) run(size, rounds);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
