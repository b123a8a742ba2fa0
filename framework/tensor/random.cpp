#include <levin/framework/tensor/random.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>

#include <atomic>
#include <mutex>
#include <string>

namespace levin {
namespace {

std::atomic<uint64_t> the_seed{0};

at::Generator cuda_generator(int64_t index) {
  return at::globalContext().defaultGenerator(
      at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index)));
}

std::string cuda_name(int64_t index) { return "cuda." + std::to_string(index); }

torch::Tensor get_state(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

void set_state(at::Generator generator, const torch::Tensor& state) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state.cpu());
}

void check_state(const std::string& name, const torch::Tensor& state, at::Generator generator) {
  const auto current = get_state(std::move(generator));
  if (state.scalar_type() == current.scalar_type() && state.numel() == current.numel()) return;
  throw CheckpointError::mismatch(
      "the random state",
      {name + ": has " + std::to_string(state.numel()) + " bytes, this version of LibTorch needs " +
       std::to_string(current.numel())});
}

}  // namespace

void seed_everything(uint64_t seed) {
  the_seed = seed;
  at::manual_seed(seed);
}

void reseed_for_rank(int64_t rank) {
  at::manual_seed(KeyedGenerator(the_seed, static_cast<uint64_t>(rank))());
}

uint64_t global_seed() { return the_seed; }

StateDict random_state() {
  StateDict state;
  state.tensors["cpu"] = get_state(at::detail::getDefaultCPUGenerator());
  for (int64_t i = 0; i < cuda_device_count(); ++i) {
    // Asking for the state of a device that hasn't been used yet would open a context on it, which
    // takes hundreds of MB.
    if (!at::detail::getCUDAHooks().hasPrimaryContext(static_cast<at::DeviceIndex>(i))) continue;
    state.tensors[cuda_name(i)] = get_state(cuda_generator(i));
  }
  state.values["seed"] = static_cast<int64_t>(global_seed());
  return state;
}

void load_random_state(const StateDict& state) {
  const auto& cpu = state.tensor("cpu");
  const auto seed = static_cast<uint64_t>(state.values.at("seed").as_int());
  check_state("cpu", cpu, at::detail::getDefaultCPUGenerator());
  const int64_t count = cuda_device_count();
  for (int64_t i = 0; i < count; ++i) {
    const auto found = state.tensors.find(cuda_name(i));
    if (found != state.tensors.end()) check_state(found->first, found->second, cuda_generator(i));
  }
  set_state(at::detail::getDefaultCPUGenerator(), cpu);
  for (int64_t i = 0; i < count; ++i) {
    const auto found = state.tensors.find(cuda_name(i));
    if (found != state.tensors.end()) set_state(cuda_generator(i), found->second);
  }
  the_seed = seed;
}

}  // namespace levin
