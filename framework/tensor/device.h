#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <c10/core/Device.h>

#include <levin/framework/core/options.h>

namespace levin {

/// The number of CUDA devices that this process can use.
int64_t cuda_device_count();
/// The first CUDA device if there is one, else the CPU.
at::Device default_device();
/// The CPU, followed by each CUDA device.
std::vector<at::Device> available_devices();
/// The devices that `accelerator` ("auto", "cpu", "gpu", "cuda") and `devices` ("auto", a number,
/// -1 for all, or a list "0,1") stand for, as in Lightning. Throws ConfigError if this machine
/// lacks one of them.
std::vector<at::Device> parse_devices(std::string_view accelerator, const CountOrName& devices);

}  // namespace levin
