#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/Device.h>

#include <levin/framework/core/options.h>

namespace levin {

/// The number of CUDA devices that this process can use, as CUDA_VISIBLE_DEVICES limits them; 0 if
/// LibTorch was built without CUDA.
int64_t cuda_device_count();
/// The first CUDA device, cuda:0, if there is one, else the CPU.
at::Device default_device();
/// The CPU, followed by each CUDA device in the order of their numbers.
std::vector<at::Device> available_devices();
/// The bytes of memory that are free on a device now; 0 if that isn't known.
size_t free_memory(at::Device device);
/// Returns the devices that the Trainer's options `accelerator` and `devices` stand for, as in
/// Lightning.
///
///     parse_devices("auto", "auto")  // cuda:0 if there is one, else the CPU
///     parse_devices("gpu", 2)        // cuda:0 and cuda:1
///     parse_devices("gpu", -1)       // all CUDA devices
///     parse_devices("gpu", "1,")     // cuda:1 alone: a list of one number
///     parse_devices("cpu", 4)        // the CPU four times, for four ranks
///
/// `accelerator` is "auto", "cpu", "gpu" or "cuda"; the last two mean the same. `devices` is "auto"
/// (one device), a number of devices, -1 for all, or a list of device numbers. Throws ConfigError
/// if a value isn't one of these or if this machine lacks one of the devices.
std::vector<at::Device> parse_devices(std::string_view accelerator, const CountOrName& devices);

}  // namespace levin
