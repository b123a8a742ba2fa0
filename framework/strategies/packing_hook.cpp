#include <levin/framework/strategies/packing_hook.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

/// The type in which gradients of that type are packed and summed.
at::ScalarType packed_type(at::ScalarType gradients) {
  return gradients == at::kDouble ? at::kDouble : at::kFloat;
}

/// The collectives of a process group, whose bytes are counted as they are sent.
class CountedExchange : public GradientExchange {
 public:
  CountedExchange(c10::intrusive_ptr<c10d::ProcessGroup> group,
                  std::shared_ptr<CommunicationLog> log, std::atomic<int64_t>& bytes)
      : group_(std::move(group)), log_(std::move(log)), bytes_(bytes) {}

  int64_t world_size() const override { return group_->getSize(); }
  Pending all_gather(const torch::Tensor& own) override {
    std::vector<at::Tensor> mine{own.contiguous()};
    std::vector<std::vector<at::Tensor>> all(1);
    for (int64_t i = 0; i < world_size(); ++i) all[0].push_back(at::empty_like(mine[0]));
    const auto sent = (world_size() - 1) * static_cast<int64_t>(own.nbytes());
    auto wait = counted(sent, [&] { return group_->allgather(all, mine); });
    return [wait, rows = all[0]] {
      wait();
      return at::stack(rows);
    };
  }
  Pending all_reduce(torch::Tensor own) override {
    std::vector<at::Tensor> tensors{own};
    const auto bytes = static_cast<int64_t>(own.nbytes());
    const auto sent = CommunicationLog::ring_bytes(bytes, world_size());
    auto wait = counted(sent, [&] { return group_->allreduce(tensors); });
    return [wait, own] {
      wait();
      return own;
    };
  }

 private:
  template <class Start>
  std::function<void()> counted(int64_t sent, const Start& start) {
    bytes_ += sent;
    const auto ticket = log_ ? log_->started(sent) : CommunicationLog::Ticket{};
    auto work = start();
    return [work, log = log_, ticket] {
      work->wait();
      if (log) log->ended(ticket);
    };
  }

  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::shared_ptr<CommunicationLog> log_;
  std::atomic<int64_t>& bytes_;
};

class PackingHook : public c10d::CommHookInterface {
 public:
  PackingHook(ProcessGroup& group, const SumHookOptions& options,
              std::shared_ptr<PackedBuckets> buckets, std::atomic<int64_t>& bytes)
      : riders_(options.riders),
        plain_(make_sum_hook(group, options, bytes)),
        buckets_(std::move(buckets)),
        exchange_(group.c10d_group(), options.log, bytes) {}

  /// Called for one bucket after the other, in the same order on all ranks.
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    if (bucket.getIndex() == 0) started_.clear();  // a round that failed has left some
    const auto sums = packs(bucket) ? start(bucket) : plain_->runHook(bucket);
    if (bucket.isLast()) finish();
    return sums;
  }
  at::Tensor parseHookResult(const c10::IValue& result) override {
    return c10d::detail::parseCppCommHookResult(result);
  }

 private:
  struct Started {
    GradientCompression* compression;
    at::ScalarType type;
    c10::intrusive_ptr<c10::ivalue::Future> sums;
  };

  bool packs(c10d::GradBucket& bucket) const {
    const auto parameters = bucket.getParameters();
    return buckets_->packs() && bucket.getBuffer().layout() == at::kStrided &&
           std::none_of(parameters.begin(), parameters.end(),
                        [this](const at::Tensor& one) { return one.is_same(riders_); });
  }
  c10::intrusive_ptr<c10::ivalue::Future> start(c10d::GradBucket& bucket) {
    const at::Tensor& buffer = bucket.getBuffer();
    auto& compression = buckets_->at(bucket.getIndex(), bucket.getParameters());
    std::vector<c10::Device> devices;
    if (!buffer.is_cpu()) devices.push_back(buffer.device());
    started_.push_back(
        {&compression, buffer.scalar_type(),
         c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get(), std::move(devices))});
    compression.start(buffer.to(packed_type(buffer.scalar_type())), exchange_);
    return started_.back().sums;
  }
  void finish() {
    for (auto& each : std::exchange(started_, {})) {
      each.sums->markCompleted(each.compression->finish(exchange_).to(each.type));
    }
  }

  torch::Tensor riders_;
  std::unique_ptr<c10d::CommHookInterface> plain_;
  std::shared_ptr<PackedBuckets> buckets_;
  CountedExchange exchange_;
  std::vector<Started> started_;  // in this round
};

}  // namespace

PackedBuckets::PackedBuckets(NamedSettings compression, int64_t rank,
                             std::vector<std::string> names, std::vector<torch::Tensor> parameters)
    : compression_(std::move(compression)),
      rank_(rank),
      names_(std::move(names)),
      parameters_(std::move(parameters)) {}

GradientCompression& PackedBuckets::at(size_t index, const std::vector<torch::Tensor>& parameters) {
  auto& bucket = buckets_[index];
  if (bucket) {
    loaded_ = StateDict{};  // in the second round, each bucket has taken its part
    return *bucket;
  }
  const auto& like = parameters.front();
  GradientLayout layout{.type = packed_type(like.scalar_type()),
                        .device = like.device(),
                        .seed = KeyedGenerator(global_seed(), index)(),
                        .rank = rank_};
  for (const auto& parameter : parameters) {
    const auto found =
        std::find_if(parameters_.begin(), parameters_.end(),
                     [&](const torch::Tensor& one) { return one.is_same(parameter); });
    layout.names.push_back(names_[static_cast<size_t>(found - parameters_.begin())]);
    layout.shapes.push_back(parameter.sizes().vec());
  }
  bucket = shipped_gradient_compressions().make(compression_.name, compression_.settings, layout);
  bucket->load_state_dict(loaded_);
  return *bucket;
}

StateDict PackedBuckets::state_dict() const {
  if (buckets_.empty()) return loaded_;
  StateDict all;
  for (const auto& [index, bucket] : buckets_) {
    StateDict state = bucket->state_dict();
    all.tensors.merge(state.tensors);
    for (const auto& [name, value] : state.values.as_object()) all.values[name] = value;
  }
  return all;
}

void PackedBuckets::load_state_dict(const StateDict& state) {
  if (buckets_.empty()) loaded_ = state.clone();
  for (const auto& [index, bucket] : buckets_) bucket->load_state_dict(state);
}

std::unique_ptr<c10d::CommHookInterface> make_packing_hook(ProcessGroup& group,
                                                           SumHookOptions options,
                                                           std::shared_ptr<PackedBuckets> buckets,
                                                           std::atomic<int64_t>& bytes) {
  return std::make_unique<PackingHook>(group, options, std::move(buckets), bytes);
}

}  // namespace levin
