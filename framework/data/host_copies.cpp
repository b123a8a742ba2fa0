#include <levin/framework/data/host_copies.h>

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <levin/framework/tensor/buffer.h>

#include <utility>

namespace levin {

void HostCopies::add(torch::Tensor tensor) {
  if (tensor.is_cpu()) {
    tensors_.push_back(is_unshared(tensor) ? std::move(tensor) : tensor.detach().clone());
    return;
  }
  if (!tensor.is_cuda() || tensor.layout() != at::kStrided) {
    tensors_.push_back(tensor.detach().cpu());
    return;
  }
  // LibTorch would apply these two on the host, before an asynchronous copy is there.
  const auto there = tensor.detach().resolve_conj().resolve_neg();
  auto here = at::empty(there.sizes(), there.options().device(at::kCPU).pinned_memory(true));
  here.copy_(there, /*non_blocking=*/true);
  const c10::impl::VirtualGuardImpl guard(there.device().type());
  Copy copy{tensors_.size(), c10::Event(there.device().type())};
  copy.is_done.record(guard.getStream(there.device()));
  tensors_.push_back(std::move(here));
  under_way_.push_back(std::move(copy));
  if (under_way_.size() > kInFlight) finish_first();
}

void HostCopies::finish_first() {
  Copy& copy = under_way_.front();
  copy.is_done.synchronize();
  tensors_[copy.place] = tensors_[copy.place].clone();  // in ordinary memory
  under_way_.pop_front();
}

std::vector<torch::Tensor> HostCopies::take() {
  while (!under_way_.empty()) finish_first();
  return std::exchange(tensors_, {});
}

}  // namespace levin
