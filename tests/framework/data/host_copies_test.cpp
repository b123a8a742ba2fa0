#include <levin/framework/data/host_copies.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>

#include <levin/framework/tensor/device.h>

#ifdef LEVIN_HAS_CUDA_HEADERS
#include <ATen/core/CachingHostAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace levin::host_copies_test {

/// Adds tensors of `device` that are written again after each call, and views of them.
void expect_values_at_the_time(at::Device device) {
  const auto options = torch::TensorOptions(device);
  HostCopies copies;
  auto buffer = torch::empty({3, 2}, options);
  for (int64_t i = 0; i < 20; ++i) {
    buffer.copy_(torch::arange(6, options).reshape({3, 2}) + 10 * i);
    copies.add(buffer);
    copies.add(buffer.t());
    copies.add(buffer.narrow(0, 1, 1));
    copies.add(torch::full({2}, i, options));
    copies.add(torch::full({}, i));  // of the CPU, in between
  }
  const auto tensors = copies.take();
  ASSERT_EQ(tensors.size(), 100U);
  for (int64_t i = 0; i < 20; ++i) {
    const auto* const own = &tensors[static_cast<size_t>(5 * i)];
    const auto expected = torch::arange(6).reshape({3, 2}).to(torch::kFloat) + 10 * i;
    EXPECT_TRUE(torch::equal(own[0], expected)) << i;
    EXPECT_TRUE(torch::equal(own[1], expected.t())) << i;
    EXPECT_TRUE(torch::equal(own[2], expected.narrow(0, 1, 1))) << i;
    EXPECT_TRUE(torch::equal(own[3], torch::full({2}, i))) << i;
    EXPECT_TRUE(torch::equal(own[4], torch::full({}, i))) << i;
    for (int64_t j = 0; j < 5; ++j) EXPECT_FALSE(own[j].is_pinned());
  }
  EXPECT_TRUE(copies.take().empty());
}

TEST(HostCopies, have_the_values_that_a_tensor_had_when_it_was_added) {
  expect_values_at_the_time(at::kCPU);
}

TEST(HostCopies, of_memory_that_nobody_else_uses_are_the_tensor_itself) {
  HostCopies copies;
  auto own = torch::ones({4});
  const void* const memory = own.const_data_ptr();
  copies.add(std::move(own));
  std::array<float, 4> values{1, 2, 3, 4};
  copies.add(torch::from_blob(values.data(), {4}));
  values.fill(0);
  const auto parameter = torch::ones({4}, torch::requires_grad());
  copies.add(parameter * 2);
  const auto tensors = copies.take();
  EXPECT_EQ(tensors[0].const_data_ptr(), memory);
  EXPECT_EQ(tensors[1][3].item<float>(), 4) << "LibTorch doesn't know who else uses this memory";
  EXPECT_FALSE(tensors[2].requires_grad());
}

#ifdef LEVIN_HAS_CUDA_HEADERS
TEST(HostCopiesCuda, have_the_values_that_a_tensor_had_when_it_was_added) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  expect_values_at_the_time(at::Device(at::kCUDA, 0));
  HostCopies copies;
  const auto number = torch::full({2}, c10::complex<float>(1, 2)).cuda();
  copies.add(number.conj());
  EXPECT_TRUE(torch::equal(copies.take().at(0), number.cpu().conj()));
}

TEST(HostCopiesCuda, wait_only_at_the_end_and_use_little_pinned_memory) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  using Mode = c10::cuda::SyncDebugMode;
  constexpr int64_t kBytes = int64_t{1} << 20;
  constexpr size_t kTensors = 100;
  auto& state = c10::cuda::warning_state();
  const auto buffer =
      torch::zeros({kBytes}, torch::TensorOptions(torch::kByte).device(torch::kCUDA));
  auto* const allocator = at::getHostAllocator(at::kCUDA);
  const int64_t before = allocator->get_stats().allocated_bytes.current;
  HostCopies copies;
  state.set_sync_debug_mode(Mode::L_ERROR);
  for (size_t i = 0; i < kTensors; ++i) {
    buffer.add_(1);
    EXPECT_NO_THROW(copies.add(buffer));
  }
  state.set_sync_debug_mode(Mode::L_DISABLED);
  const auto tensors = copies.take();
  EXPECT_LE(allocator->get_stats().allocated_bytes.current - before, 8 * kBytes);
  for (size_t i = 0; i < kTensors; ++i) {
    EXPECT_TRUE(tensors[i].eq(static_cast<int64_t>(i) + 1).all().item<bool>()) << i;
  }
}
#endif

}  // namespace levin::host_copies_test
