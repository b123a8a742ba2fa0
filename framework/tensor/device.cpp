#include <levin/framework/tensor/device.h>

#include <charconv>

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr int64_t kMostDevices = 1024;

std::string device_list() {
  const int64_t count = cuda_device_count();
  if (count == 0) return "cpu";
  return count == 1 ? "cpu, cuda:0" : fmt::format("cpu, cuda:0 to cuda:{}", count - 1);
}

[[noreturn]] void refuse_list(const std::string& text, const std::string& requirement) {
  throw ConfigError::invalid_value("devices", fmt::format("\"{}\"", text), requirement);
}

std::vector<int64_t> parse_list(const std::string& text) {
  std::vector<int64_t> numbers;
  const char* next = text.data();
  const char* end = next + text.size();
  do {
    int64_t number = 0;
    const auto [stop, error] = std::from_chars(next, end, number);
    if (error != std::errc() || (stop < end && *stop != ',')) {
      refuse_list(text, "expected auto, a number, or a list \"0,1\"");
    }
    numbers.push_back(number);
    next = stop < end ? stop + 1 : end;
  } while (next < end);
  return numbers;
}

bool is_device_list(const CountOrName& devices) {
  const auto* name = std::get_if<std::string>(&devices.value);
  return name != nullptr && name->find(',') != std::string::npos;
}

/// Returns the numbers of the devices that `devices` asks for, if there are `available` of the
/// kind.
std::vector<int64_t> wanted_indices(const CountOrName& devices, int64_t available) {
  std::vector<int64_t> indices;
  int64_t count = 1;
  if (const auto* name = std::get_if<std::string>(&devices.value)) {
    if (is_device_list(devices)) return parse_list(*name);
    if (*name != "auto") count = parse_list(*name).at(0);
  } else {
    count = std::get<int64_t>(devices.value);
  }
  if (count == -1) count = available;
  if (count < 1 || count > kMostDevices) {
    throw ConfigError::invalid_value(
        "devices", std::to_string(count),
        fmt::format("must be from 1 to {}, or -1 for all", kMostDevices));
  }
  for (int64_t i = 0; i < count; ++i) indices.push_back(i);
  return indices;
}

}  // namespace

int64_t cuda_device_count() {
  return at::hasCUDA() ? static_cast<int64_t>(at::detail::getCUDAHooks().deviceCount()) : 0;
}

at::Device default_device() {
  return cuda_device_count() > 0 ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
}

size_t free_memory(at::Device device) {
  if (device.is_cpu()) return 0;
  auto* allocator = at::getDeviceAllocator(device.type());
  return allocator->getMemoryInfo(device.has_index() ? device.index() : c10::DeviceIndex{0}).first;
}

std::vector<at::Device> available_devices() {
  std::vector<at::Device> devices{at::Device(at::kCPU)};
  for (int64_t i = 0; i < cuda_device_count(); ++i) {
    devices.emplace_back(at::kCUDA, static_cast<at::DeviceIndex>(i));
  }
  return devices;
}

std::vector<at::Device> parse_devices(std::string_view accelerator, const CountOrName& devices) {
  const bool wants_cuda = accelerator == "gpu" || accelerator == "cuda";
  if (!wants_cuda && accelerator != "auto" && accelerator != "cpu") {
    throw ConfigError::unknown_name("accelerator", accelerator, {"auto", "cpu", "gpu", "cuda"});
  }
  const int64_t gpus = accelerator == "cpu" ? 0 : cuda_device_count();
  if (wants_cuda && gpus == 0) {
    throw ConfigError::invalid_value(
        "accelerator", accelerator,
        fmt::format("this machine has no CUDA device; its devices are: {}", device_list()));
  }
  std::vector<at::Device> result;
  if (gpus == 0) {
    const bool is_list = is_device_list(devices);
    for (const int64_t index : wanted_indices(devices, 1)) {
      if (is_list && index != 0) {
        refuse_list(std::get<std::string>(devices.value),
                    fmt::format("the CPU is device 0, and there is no device {} beside it; give a "
                                "number of ranks without a comma, such as devices = 2",
                                index));
      }
      result.emplace_back(at::kCPU);
    }
    return result;
  }
  for (const int64_t index : wanted_indices(devices, gpus)) {
    if (index < 0 || index >= gpus) {
      throw ConfigError::no_such_device(fmt::format("cuda:{}", index), device_list());
    }
    result.emplace_back(at::kCUDA, static_cast<at::DeviceIndex>(index));
  }
  return result;
}

}  // namespace levin
