#include <levin/framework/data/device_copies.h>

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace levin {

Batch DeviceCopies::copy(const Batch& batch) {
  if (!is_worth_it(batch)) return batch.to(device_);
  const c10::impl::VirtualGuardImpl guard(device_.type());
  const at::Device own = device_.has_index() ? device_ : guard.getDevice();
  const c10::Stream work = guard.getStream(own);
  if (!stream_) stream_ = guard.getStreamFromGlobalPool(own);

  steps_.emplace_back(device_.type());
  steps_.back().record(work);
  if (steps_.size() > kInFlight) {
    steps_.front().synchronize();
    steps_.pop_front();
  }
  Batch result;
  {
    const c10::StreamGuard on_stream(*stream_);
    result = batch.to(device_);
  }
  c10::Event copied(device_.type());
  copied.record(*stream_);
  copied.block(work);
  // LibTorch must not give the memory to the next copy before the work that reads it is done.
  for (const auto& [name, rows] : result.entries()) {
    for (const auto& tensor : rows.memory()) {
      guard.recordDataPtrOnStream(tensor.storage().data_ptr(), work);
    }
  }
  return result;
}

bool DeviceCopies::is_worth_it(const Batch& batch) const {
  if (!device_.is_cuda()) return false;
  size_t bytes = 0;
  for (const auto& [name, rows] : batch.entries()) {
    // A copy from other memory keeps the host waiting anyway, and what is there isn't copied.
    if (!rows.is_defined() || !rows.is_whole() || !rows.source().is_cpu()) return false;
    for (const auto& tensor : rows.memory()) bytes += tensor.nbytes();
  }
  if (bytes < kLeastBytes) return false;
  for (const auto& [name, rows] : batch.entries()) {
    for (const auto& tensor : rows.memory()) {
      if (!tensor.is_pinned()) return false;
    }
  }
  return true;
}

}  // namespace levin
