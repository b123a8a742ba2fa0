#include <levin/framework/strategies/rider_copies.h>

#include <algorithm>

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace levin {

RiderCopies::RiderCopies(at::Device device) : device_(device) {
  constexpr int64_t kSize = GradientReducer::kRiders;
  const auto host = at::TensorOptions(at::kDouble).pinned_memory(device.is_cuda());
  given_ = at::empty({kSize}, host);
  fetched_ = at::empty({kSize}, host);
  on_device_ =
      device.is_cpu() ? given_ : at::empty({kSize}, host.pinned_memory(false).device(device));
}

const torch::Tensor& RiderCopies::send(const Riders& riders) {
  std::copy(riders.begin(), riders.end(), given_.mutable_data_ptr<double>());
  if (!device_.is_cpu()) on_device_.copy_(given_, /*non_blocking=*/true);
  return on_device_;
}

void RiderCopies::fetch(const torch::Tensor& sums) {
  fetched_.copy_(sums, /*non_blocking=*/true);
  if (device_.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  if (!is_fetched_) is_fetched_.emplace(device_.type());
  is_fetched_->record(guard.getStream(device_.has_index() ? device_ : guard.getDevice()));
}

const RiderCopies::Riders& RiderCopies::sums() {
  if (is_fetched_) is_fetched_->synchronize();
  std::copy_n(fetched_.const_data_ptr<double>(), sums_.size(), sums_.begin());
  return sums_;
}

}  // namespace levin
