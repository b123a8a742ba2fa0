#include <levin/framework/strategies/packing_hook.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <levin/framework/collectives/standing_gather.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

/// The type in which gradients of that type are packed and summed.
at::ScalarType packed_type(at::ScalarType gradients) {
  return gradients == at::kDouble ? at::kDouble : at::kFloat;
}

/// Up to so many ranks, each sends to each other one at once. Numbers that are summed are then
/// added up by every rank; with more than two ranks, a ring, which adds them up on the way, sends
/// fewer bytes, but later, so it is for those that would be more than kSmallSum bytes.
constexpr int64_t kFewRanks = 64;
constexpr int64_t kSmallSum = 65536;

/// The collectives of a bucket, whose bytes are counted as they are sent. Each collective of a
/// round has a StandingGather if there are few ranks, which train on the CPU.
class BucketExchange : public GradientExchange {
 public:
  BucketExchange(ProcessGroup& group, std::shared_ptr<CommunicationLog> log,
                 std::atomic<int64_t>& bytes)
      : group_(group), log_(std::move(log)), bytes_(bytes) {}

  void begin_round() { calls_ = 0; }
  int64_t world_size() const override { return group_.world_size(); }
  Pending all_gather(const torch::Tensor& own) override {
    const auto sent = (world_size() - 1) * static_cast<int64_t>(own.nbytes());
    if (own.is_cpu() && world_size() <= kFewRanks) return standing(own, sent);
    std::vector<at::Tensor> mine{own.contiguous()};
    std::vector<std::vector<at::Tensor>> all(1);
    for (int64_t i = 0; i < world_size(); ++i) all[0].push_back(at::empty_like(mine[0]));
    auto wait = counted(sent, [&] { return group_.c10d_group()->allgather(all, mine); });
    return [wait, rows = all[0]] {
      wait();
      return at::stack(rows);
    };
  }
  Pending all_reduce(torch::Tensor own) override {
    const auto bytes = static_cast<int64_t>(own.nbytes());
    const int64_t to_all = (world_size() - 1) * bytes;
    if (own.is_cpu() && world_size() <= kFewRanks && (world_size() == 2 || to_all <= kSmallSum)) {
      return [gathered = standing(own, to_all)] { return gathered().sum(0); };
    }
    std::vector<at::Tensor> tensors{own};
    const auto sent = CommunicationLog::ring_bytes(bytes, world_size());
    auto wait = counted(sent, [&] { return group_.c10d_group()->allreduce(tensors); });
    return [wait, own] {
      wait();
      return own;
    };
  }

 private:
  struct Standing {
    int64_t bytes = 0;
    std::unique_ptr<StandingGather> gather;
  };

  Pending standing(const torch::Tensor& own, int64_t sent) {
    const auto bytes = static_cast<int64_t>(own.nbytes());
    if (standing_.size() == calls_) standing_.emplace_back();
    auto& one = standing_[calls_++];
    if (one.gather == nullptr || one.bytes != bytes) {
      one.gather.reset();
      one = {bytes, std::make_unique<StandingGather>(group_, bytes)};
    }
    auto& gather = *one.gather;
    bytes_ += sent;
    const auto ticket = log_ ? log_->started(sent) : CommunicationLog::Ticket{};
    gather.start(own.contiguous().view({-1}).view(at::kByte));
    auto shape = own.sizes().vec();
    shape.insert(shape.begin(), world_size());
    return [&gather, log = log_, ticket, shape, type = own.scalar_type()] {
      const auto all = gather.finish();
      if (log) log->ended(ticket);
      return all.view(type).view(shape);
    };
  }
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

  ProcessGroup& group_;
  std::shared_ptr<CommunicationLog> log_;
  std::atomic<int64_t>& bytes_;
  std::vector<Standing> standing_;  // of each call of a round
  size_t calls_ = 0;
};

class PackingHook : public c10d::CommHookInterface {
 public:
  PackingHook(ProcessGroup& group, const SumHookOptions& options,
              std::shared_ptr<PackedBuckets> buckets, std::atomic<int64_t>& bytes)
      : group_(group),
        riders_(options.riders),
        plain_(make_sum_hook(group, options, bytes)),
        buckets_(std::move(buckets)),
        log_(options.log),
        bytes_(bytes) {}

  /// Called for one bucket after the other, in the same order on all ranks.
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    if (bucket.getIndex() == 0) started_.clear();  // a round that failed has left some
    const bool goes_through = buckets_->packs() && bucket.getBuffer().layout() == at::kStrided;
    const auto sums = goes_through ? start(bucket) : plain_->runHook(bucket);
    if (bucket.isLast()) finish();
    return sums;
  }
  at::Tensor parseHookResult(const c10::IValue& result) override {
    return c10d::detail::parseCppCommHookResult(result);
  }

 private:
  struct Started {
    BucketExchange* exchange;
    GradientCompression* compression;  // null for the riders, which are sent as they are
    GradientExchange::Pending riders;
    at::ScalarType type;
    c10::intrusive_ptr<c10::ivalue::Future> sums;
  };

  bool has_riders(c10d::GradBucket& bucket) const {
    const auto parameters = bucket.getParameters();
    return std::any_of(parameters.begin(), parameters.end(),
                       [this](const at::Tensor& one) { return one.is_same(riders_); });
  }
  BucketExchange& exchange_of(size_t index) {
    auto& exchange = exchanges_[index];
    if (!exchange) exchange = std::make_unique<BucketExchange>(group_, log_, bytes_);
    exchange->begin_round();
    return *exchange;
  }
  c10::intrusive_ptr<c10::ivalue::Future> start(c10d::GradBucket& bucket) {
    const at::Tensor& buffer = bucket.getBuffer();
    auto& exchange = exchange_of(bucket.getIndex());
    std::vector<c10::Device> devices;
    if (!buffer.is_cpu()) devices.push_back(buffer.device());
    Started started{
        &exchange, nullptr, nullptr, buffer.scalar_type(),
        c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get(), std::move(devices))};
    if (has_riders(bucket)) {
      started.riders = exchange.all_reduce(buffer);
    } else {
      started.compression = &buckets_->at(bucket.getIndex(), bucket.getParameters());
      started.compression->start(buffer.to(packed_type(buffer.scalar_type())), exchange);
    }
    started_.push_back(std::move(started));
    return started_.back().sums;
  }
  void finish() {
    auto all = std::exchange(started_, {});
    for (const auto& each : all) {
      if (each.compression != nullptr) each.compression->proceed(*each.exchange);
    }
    for (const auto& each : all) {
      const auto sums = each.compression == nullptr ? each.riders() : each.compression->finish();
      each.sums->markCompleted(sums.to(each.type));
    }
  }

  ProcessGroup& group_;
  torch::Tensor riders_;
  std::unique_ptr<c10d::CommHookInterface> plain_;
  std::shared_ptr<PackedBuckets> buckets_;
  std::shared_ptr<CommunicationLog> log_;
  std::atomic<int64_t>& bytes_;
  std::map<size_t, std::unique_ptr<BucketExchange>> exchanges_;  // of the buckets
  std::vector<Started> started_;                                 // in this round
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
