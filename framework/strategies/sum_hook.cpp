#include <levin/framework/strategies/sum_hook.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

namespace levin {
namespace {

using Group = c10::intrusive_ptr<c10d::ProcessGroup>;
using Future = c10::intrusive_ptr<c10::ivalue::Future>;

class SumHook : public c10d::CppCommHookInterface<Group> {
 public:
  SumHook(Group group, SumHookOptions options, std::atomic<int64_t>& bytes)
      : CppCommHookInterface(std::move(group)), options_(std::move(options)), bytes_(bytes) {}

  /// Called for one bucket after the other, in the same order on all ranks.
  Future runHook(c10d::GradBucket& bucket) override {
    if (bucket.getIndex() == 0) given_.clear();  // a round that failed has left some
    Future sums = give(bucket);
    if (sums == nullptr) sums = send(bucket);
    if (bucket.isLast() && !given_.empty()) sum_given();
    return sums;
  }

 private:
  struct Given {
    at::Tensor buffer;
    Future sums;
    CommunicationLog::Ticket ticket;
  };

  Future send(c10d::GradBucket& bucket) {
    at::Tensor& buffer = bucket.getBufferRef();
    const auto& sent_as = options_.sent_as;
    if (buffer.is_sparse()) return sum_sparse(buffer);
    if (!sent_as || buffer.scalar_type() == *sent_as || has_riders(bucket)) return sum(buffer);
    const auto type = buffer.scalar_type();
    return sum(buffer.to(*sent_as))
        ->then(
            [type](c10::ivalue::Future& done) {
              const auto summed = c10d::detail::parseCppCommHookResult(done.value());
              return c10::IValue(std::vector<at::Tensor>{summed.to(type)});
            },
            c10::ListType::create(c10::TensorType::get()));
  }
  /// Whether the riders are in the bucket. They count rows, for which two bytes aren't enough.
  bool has_riders(const c10d::GradBucket& bucket) const {
    const auto parameters = bucket.getParameters();
    return std::any_of(parameters.begin(), parameters.end(),
                       [this](const at::Tensor& one) { return one.is_same(options_.riders); });
  }
  /// Sums a sparse gradient in its own type. NCCL sums only dense tensors, so Gloo does this on the
  /// CPU.
  Future sum_sparse(const at::Tensor& tensor) {
    const bool has_nccl = state_->getBackendType() == c10d::ProcessGroup::BackendType::NCCL;
    const auto sent = (has_nccl ? tensor.cpu() : tensor).coalesce();
    const auto bytes = static_cast<int64_t>(sent.indices().nbytes() + sent.values().nbytes());
    return sum(sent, (state_->getSize() - 1) * bytes);  // sent to each other rank
  }
  Future sum(const at::Tensor& tensor) {
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    return sum(tensor, CommunicationLog::ring_bytes(bytes, state_->getSize()));
  }
  Future sum(const at::Tensor& tensor, int64_t sent_bytes) {
    bytes_ += sent_bytes;
    std::vector<at::Tensor> tensors{tensor};
    if (options_.log == nullptr) return state_->allreduce(tensors)->getFuture();
    const auto ticket = options_.log->started(sent_bytes);
    auto sums = state_->allreduce(tensors)->getFuture();
    sums->addCallback([log = options_.log, ticket](c10::ivalue::Future&) { log->ended(ticket); });
    return sums;
  }

  /// Puts the bucket into the shared memory; returns null if the process group has to sum it.
  Future give(c10d::GradBucket& bucket) {
    const at::Tensor& buffer = bucket.getBuffer();
    if (options_.host_sum == nullptr || buffer.layout() != at::kStrided) return nullptr;
    const auto type = buffer.scalar_type();
    if (type != at::kFloat && type != at::kDouble) return nullptr;
    auto& sum = *options_.host_sum;
    std::byte* place = sum.place(buffer.nbytes());
    if (place == nullptr) return nullptr;
    Given given{buffer, c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get()), {}};
    const auto sent_bytes =  // ranks read as many bytes as a ring sends
        CommunicationLog::ring_bytes(static_cast<int64_t>(buffer.nbytes()), state_->getSize());
    bytes_ += sent_bytes;
    if (options_.log != nullptr) given.ticket = options_.log->started(sent_bytes);
    move_to(place, buffer);
    sum.give(buffer.nbytes(), type == at::kFloat ? HostSum::Type::float32 : HostSum::Type::float64);
    given_.push_back(given);
    return given.sums;
  }
  /// Copies a bucket to its place in the shared memory, and moves the bucket itself there if it
  /// can, so that from the next step on the Reducer writes it right where the other ranks read it.
  void move_to(std::byte* place, const at::Tensor& buffer) {
    void* data = buffer.mutable_data_ptr();
    if (data == place) return;
    std::memcpy(place, data, buffer.nbytes());
    const auto& storage = buffer.storage();
    if (buffer.storage_offset() != 0 || storage.nbytes() != buffer.nbytes()) return;
    using Memory = std::shared_ptr<std::byte>;
    storage.set_data_ptr(c10::DataPtr(
        place, new Memory(options_.host_sum->memory()),
        [](void* memory) { delete static_cast<Memory*>(memory); }, at::kCPU));
  }
  /// Ends the round. The sums stay in the shared memory; the Reducer copies them from there before
  /// the next round begins.
  void sum_given() {
    auto& sum = *options_.host_sum;
    sum.sum();
    for (size_t i = 0; i < given_.size(); ++i) {
      const auto& buffer = given_[i].buffer;
      if (options_.log != nullptr) options_.log->ended(given_[i].ticket);
      given_[i].sums->markCompleted(at::from_blob(
          sum.sums(i), buffer.sizes(), [memory = sum.memory()](void*) {}, buffer.options()));
    }
    given_.clear();
  }

  SumHookOptions options_;
  std::atomic<int64_t>& bytes_;
  std::vector<Given> given_;  // of this round
};

}  // namespace

std::unique_ptr<c10d::CommHookInterface> make_sum_hook(ProcessGroup& group, SumHookOptions options,
                                                       std::atomic<int64_t>& bytes) {
  return std::make_unique<SumHook>(group.c10d_group(), std::move(options), bytes);
}

}  // namespace levin
