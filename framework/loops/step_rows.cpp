#include <levin/framework/loops/step_rows.h>

#include <utility>

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <levin/framework/loops/reporting.h>

namespace levin {

void StepRows::add(LoggedValues& metrics, const torch::Tensor& loss, int64_t step) {
  if (!metrics.has_values_on_device() && (!loss.defined() || loss.is_cpu())) {
    log_step_values(parts_, metrics, step);
    loss_watch_.look(loss, /*may_wait=*/true);
    return;
  }
  Row row{parts_.run.epoch(), step, metrics.begin_reading(LoggedValues::For::logger), {}, {}};
  if (loss.defined()) {
    row.loss = at::empty(
        {}, loss.options().device(at::kCPU).requires_grad(false).pinned_memory(loss.is_cuda()));
    row.loss.copy_(loss.reshape({}), /*non_blocking=*/loss.is_cuda());
  }
  const at::Device device = parts_.strategy.device();
  if (!device.is_cpu()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    row.copied.emplace(device.type());
    row.copied->record(guard.getStream(device.has_index() ? device : guard.getDevice()));
  }
  rows_.push_back(std::move(row));
}

void StepRows::write(bool waits) {
  while (!rows_.empty()) {
    Row& row = rows_.front();
    if (row.copied && waits) row.copied->synchronize();
    if (row.copied && !row.copied->query()) return;
    log_row(parts_, row.values.finish(), row.epoch, row.step);
    loss_watch_.look(row.loss, /*may_wait=*/true);
    rows_.pop_front();
  }
}

}  // namespace levin
