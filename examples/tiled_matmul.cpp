// Multiplies two matrices by a CUDA kernel whose threads share what they load as tiles. It counts
// the loads from the matrices and compares them with theory, compares the result with the one in
// float64, and prints the errors and times beside those of cuBLAS. Without a GPU, the same tiles
// are computed by loops on the CPU, without times.
//   tiled_matmul [M N K]
//
// The shapes are [M, K] x [K, N] -> [M, N]. Succeeds if the result and its loads are as expected.
#include <c10/core/Event.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/tiled_matmul.h>
#include <levin/levin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace {

using levin::kernels::cuda::TiledMatmul;

struct Matrices {
  torch::Tensor a, b, c;

  bool on_gpu() const { return a.is_cuda(); }
  TiledMatmul product(int64_t tile) const {
    return {.a = a.const_data_ptr<float>(),
            .b = b.const_data_ptr<float>(),
            .c = c.mutable_data_ptr<float>(),
            .m = a.size(0),
            .n = b.size(1),
            .k = a.size(1),
            .tile = tile};
  }
};

void multiply(const TiledMatmul& product, bool on_gpu) {
  if (on_gpu) {
    levin::kernels::cuda::tiled_matmul(product, /*stream=*/nullptr);  // LibTorch's default stream
  } else {
    levin::kernels::cuda::tiled_matmul_on_cpu(product);
  }
}

/// Returns the norm of the difference to the result in float64, as a share of the result's norm.
double relative_error(const Matrices& matrices) {
  const auto exact = at::mm(matrices.a.to(at::kDouble), matrices.b.to(at::kDouble));
  return ((matrices.c.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

/// Returns the median of 11 times in milliseconds that some work takes on the GPU.
double milliseconds(const std::function<void()>& work) {
  const c10::Stream stream(c10::Stream::DEFAULT, at::Device(at::kCUDA, 0));
  std::vector<double> times;
  for (int i = 0; i < 12; ++i) {
    c10::Event start(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);  // the kind that takes times
    c10::Event end(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    start.record(stream);
    work();
    end.record(stream);
    end.synchronize();
    if (i > 0) times.push_back(start.elapsedTime(end));  // the first one warms up
  }
  std::nth_element(times.begin(), times.begin() + 5, times.end());
  return times[5];
}

/// Computes the product with tiles of this width and prints a line. Returns whether it is right.
bool show(const Matrices& matrices, int64_t tile) {
  matrices.c.fill_(std::numeric_limits<float>::quiet_NaN());
  const auto loads = torch::zeros({1}, matrices.c.options().dtype(at::kLong));
  TiledMatmul product = matrices.product(tile);
  product.loads = loads.mutable_data_ptr<int64_t>();
  multiply(product, matrices.on_gpu());
  const auto counted = loads.item<int64_t>();
  const int64_t expected = levin::kernels::cuda::loads_of(product);
  const double error = relative_error(matrices);

  const auto elements = static_cast<double>(matrices.c.numel());
  std::printf("%14s  %17.2f  %11.2f  %14.1e", tile == 1 ? "none" : std::to_string(tile).c_str(),
              static_cast<double>(counted) / elements,
              2.0 * static_cast<double>(product.k) / static_cast<double>(tile), error);
  if (matrices.on_gpu()) {
    product.loads = nullptr;
    std::printf("  %12.3f", milliseconds([&] { multiply(product, true); }));
  }
  std::printf("\n");
  if (counted != expected) {
    std::printf("expected %lld loads, but counted %lld\n", static_cast<long long>(expected),
                static_cast<long long>(counted));
  }
  return counted == expected && error < 1e-5;
}

}  // namespace

int main(int argc, char** argv) try {
  const bool has_gpu = levin::cuda_device_count() > 0;
  const bool on_gpu = has_gpu && levin::kernels::cuda::are_built();
  const auto size = [&](int i, int64_t for_gpu, int64_t for_cpu) {
    return argc == 4 ? std::atoll(argv[i]) : on_gpu ? for_gpu : for_cpu;
  };
  const int64_t m = size(1, 2000, 160), n = size(2, 3000, 200), k = size(3, 1000, 100);
  if ((argc != 1 && argc != 4) || m < 1 || n < 1 || k < 1) {
    std::fprintf(stderr, "usage: tiled_matmul [M N K], each at least 1\n");
    return 2;
  }
  const auto options = at::device(at::Device(on_gpu ? at::kCUDA : at::kCPU, on_gpu ? 0 : -1));
  const Matrices matrices{torch::randn({m, k}, options), torch::randn({k, n}, options),
                          torch::empty({m, n}, options)};
  const at::NoTF32Guard no_tf32;  // cuBLAS must not round the factors

  std::printf("[%lld, %lld] x [%lld, %lld], %s\n", static_cast<long long>(m),
              static_cast<long long>(k), static_cast<long long>(k), static_cast<long long>(n),
              on_gpu    ? "on the GPU"
              : has_gpu ? "by loops on the CPU, because this build has no CUDA kernels"
                        : "by loops on the CPU, because there is no GPU");
  std::printf("width of tiles  loads per element  2 K / width  relative error%s\n",
              on_gpu ? "  milliseconds" : "");
  bool is_right = true;
  for (const int64_t tile : {1, 16, 32}) is_right = show(matrices, tile) && is_right;
  if (on_gpu) {
    auto result = matrices.c;
    const double time = milliseconds([&] { at::mm_out(result, matrices.a, matrices.b); });
    std::printf("%14s  %17s  %11s  %14.1e  %12.3f\n", "cuBLAS", "-", "-", relative_error(matrices),
                time);
  }
  return is_right ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
