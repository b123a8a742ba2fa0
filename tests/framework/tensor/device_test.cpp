#include <levin/framework/tensor/device.h>

#include <gtest/gtest.h>

#include <limits>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::device_test {

using test::message_of;
using test::says;
using Devices = std::vector<at::Device>;

const at::Device kCpu(at::kCPU);

std::string refusal(std::string_view accelerator, const CountOrName& devices) {
  return message_of<ConfigError>([&] { parse_devices(accelerator, devices); });
}

// Row 29: device queries and a default device.
TEST(DeviceQueries, the_cpu_is_always_there) {
  const auto all = available_devices();
  ASSERT_EQ(std::ssize(all), 1 + cuda_device_count());
  EXPECT_EQ(all.front(), kCpu);
  for (size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(all[i], at::Device(at::kCUDA, static_cast<at::DeviceIndex>(i - 1)));
  }
  EXPECT_EQ(default_device(), all.size() == 1 ? kCpu : all[1]);
}

TEST(DeviceParse, cpu_is_the_cpu_with_or_without_gpus) {
  EXPECT_EQ(parse_devices("cpu", {}), Devices{kCpu});
  EXPECT_EQ(parse_devices("cpu", "auto"), Devices{kCpu});
  EXPECT_EQ(parse_devices("cpu", 1), Devices{kCpu});
  EXPECT_EQ(parse_devices("cpu", "1"), Devices{kCpu});
  EXPECT_EQ(parse_devices("cpu", -1), Devices{kCpu});
  EXPECT_EQ(parse_devices("cpu", 2), (Devices{kCpu, kCpu}));
}

TEST(DeviceParse, refuses_numbers_that_cannot_be) {
  for (const int64_t count : {int64_t{0}, int64_t{-2}, std::numeric_limits<int64_t>::min(),
                              std::numeric_limits<int64_t>::max(), int64_t{1'000'000'000'000}}) {
    for (const char* accelerator : {"cpu", "auto"}) {
      EXPECT_TRUE(says(refusal(accelerator, count), {"devices = " + std::to_string(count)}));
    }
  }
}

TEST(DeviceParse, refuses_words_that_are_no_devices) {
  for (const char* text :
       {"x", "", "1x", "0;1", ",", "0,,1", "0,x", "1.5", " 1", "0, 1", "99999999999999999999"}) {
    EXPECT_TRUE(says(refusal("cpu", text), {"devices = \"" + std::string(text) + "\"", "list"}))
        << text;
  }
}

TEST(DeviceParse, refuses_an_unknown_accelerator_and_names_the_nearest) {
  EXPECT_TRUE(says(refusal("cpuu", {}), {"unknown accelerator 'cpuu'", "did you mean 'cpu'?"}));
  EXPECT_TRUE(says(refusal("quantum", {}), {"'quantum'", "auto, cpu, gpu, cuda"}));
  EXPECT_THROW(parse_devices("", {}), ConfigError);
}

class DeviceWithoutGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  }
};

TEST_F(DeviceWithoutGpu, refuses_to_take_the_cpu_for_another_device_of_a_list) {
  EXPECT_EQ(parse_devices("auto", "0,"), Devices{kCpu});
  for (const char* accelerator : {"auto", "cpu"}) {
    EXPECT_TRUE(says(refusal(accelerator, "99,"),
                     {"devices = \"99,\": ", "there is no device 99", "such as devices = 2"}));
    EXPECT_TRUE(says(refusal(accelerator, "0,1"), {"devices = \"0,1\": ", "there is no device 1"}));
  }
}

// Row 20: devices are picked by options alone.
TEST_F(DeviceWithoutGpu, auto_is_the_cpu) {
  EXPECT_EQ(parse_devices("auto", {}), Devices{kCpu});
  EXPECT_EQ(parse_devices("auto", -1), Devices{kCpu});
  EXPECT_EQ(default_device(), kCpu);
}

TEST_F(DeviceWithoutGpu, gpu_is_refused_naming_what_is_there) {
  for (const char* accelerator : {"gpu", "cuda"}) {
    for (const CountOrName& devices : {CountOrName(), CountOrName(1), CountOrName("0,1")}) {
      EXPECT_EQ(refusal(accelerator, devices),
                "accelerator = " + std::string(accelerator) +
                    ": this machine has no CUDA device; its devices are: cpu");
    }
  }
}

class DeviceCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
};

TEST_F(DeviceCuda, auto_and_gpu_are_the_first_one) {
  const Devices first{at::Device(at::kCUDA, 0)};
  for (const char* accelerator : {"auto", "gpu", "cuda"}) {
    EXPECT_EQ(parse_devices(accelerator, {}), first);
    EXPECT_EQ(parse_devices(accelerator, 1), first);
    EXPECT_EQ(parse_devices(accelerator, "0,"), first);
  }
  EXPECT_EQ(std::ssize(parse_devices("gpu", -1)), cuda_device_count());
  EXPECT_EQ(std::ssize(parse_devices("gpu", "-1")), cuda_device_count());
}

TEST_F(DeviceCuda, a_device_that_is_not_there_is_refused) {
  const int64_t count = cuda_device_count();
  const std::string last = count == 1 ? "" : " to cuda:" + std::to_string(count - 1);
  EXPECT_EQ(refusal("gpu", count + 1), "no such device: cuda:" + std::to_string(count) +
                                           "; this machine has: cpu, cuda:0" + last);
  EXPECT_TRUE(says(refusal("gpu", std::to_string(count) + ","), {"no such device"}));
  EXPECT_TRUE(says(refusal("gpu", "-1,0"), {"no such device"}));
  EXPECT_THROW(parse_devices("gpu", 0), ConfigError);
}

}  // namespace levin::device_test
