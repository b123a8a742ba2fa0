#include <levin/framework/collectives/backends.h>

#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/nccl.h>
#include <levin/framework/core/error.h>

namespace levin {

std::string backend_of(const std::string& name, at::Device device) {
  if (name == "auto") return device.is_cuda() && has_nccl() ? "nccl" : "gloo";
  if (name != "gloo" && name != "nccl") {
    throw ConfigError::unknown_name("backend", name, {"auto", "gloo", "nccl"});
  }
  if (name == "nccl" && !device.is_cuda()) {
    throw ConfigError::conflict(fmt::format("backend = nccl on device {}", device.str()),
                                "use backend = auto or gloo, or train on a GPU");
  }
  if (name == "nccl" && !has_nccl()) {
    throw ConfigError::conflict(
        "backend = nccl, but this build has none",
        "use backend = gloo, or build again on a machine that has nccl.h and CUDA's headers");
  }
  return name;
}

void add_backends(c10d::ProcessGroup& group, const std::string& backend, at::Device device,
                  const c10::intrusive_ptr<c10d::Store>& gloo_store,
                  std::chrono::milliseconds timeout, const std::string& address) {
  using Type = c10d::ProcessGroup::BackendType;
  const int rank = group.getRank();
  const int size = group.getSize();
  const auto gloo = make_gloo(gloo_store, rank, size, timeout, address);
  group.setBackend(c10::DeviceType::CPU, Type::GLOO, gloo);
  const bool by_nccl = backend == "nccl";
  if (by_nccl) {
    const auto store = c10::make_intrusive<c10d::PrefixStore>("nccl", group.getStore());
    group.setBackend(c10::DeviceType::CUDA, Type::NCCL,
                     make_nccl(store, rank, size, timeout, device));
  } else if (device.is_cuda()) {
    group.setBackend(c10::DeviceType::CUDA, Type::GLOO, gloo);
  }
  group.setDefaultBackend(by_nccl ? Type::NCCL : Type::GLOO);
}

}  // namespace levin
