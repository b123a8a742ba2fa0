// This is the only file that includes NCCL's headers; NCCL itself is loaded by LibTorch.
#include <levin/framework/collectives/nccl.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/core/error.h>

#ifdef LEVIN_HAS_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace levin {

#ifdef LEVIN_HAS_NCCL

bool has_nccl() { return true; }

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            at::Device device) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  auto result = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  const at::Device own(device.type(), device.has_index() ? device.index() : c10::DeviceIndex{0});
  result->setBoundDeviceId(own);
  result->eagerConnectSingleDevice(own);  // finds two ranks on one GPU now, not in a step
  return result;
}

#else

bool has_nccl() { return false; }

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                            std::chrono::milliseconds, at::Device) {
  throw DistributedError(
      "this build has no NCCL, which joins processes on GPUs: use backend = gloo, or build again "
      "on a "
      "machine that has nccl.h and CUDA's headers");
}

#endif

}  // namespace levin
