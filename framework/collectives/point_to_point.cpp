#include <levin/framework/collectives/point_to_point.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

using C10dWork = c10::intrusive_ptr<c10d::Work>;

/// Runs `work`; its exceptions become a DistributedError that names this rank and what it did.
template <class Work>
auto as_message(int64_t rank, std::string_view what, int64_t other, const Work& work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw DistributedError(fmt::format("rank {}: {} rank {}: {}; {}", rank, what, other,
                                       plain_message(error), kOtherRankHint));
  }
}

int64_t message_bytes(const torch::Tensor& tensor) { return static_cast<int64_t>(tensor.nbytes()); }

/// Waits for `work`, and adds the time to `seconds`.
void wait_for(const C10dWork& work, Heartbeat* heartbeat, double& seconds) {
  std::optional<Heartbeat::Waiting> waiting;
  if (heartbeat != nullptr) waiting.emplace(*heartbeat);
  const double begin = files::monotonic_seconds();
  work->wait();
  seconds += files::monotonic_seconds() - begin;
}

}  // namespace

struct PointToPoint::Receipt::State {
  C10dWork work;
  torch::Tensor tensor;
  int64_t rank = 0;  // among all ranks of the run, as is the next one
  int64_t from = 0;
  Heartbeat* heartbeat = nullptr;
  std::shared_ptr<Figures> figures;
};

struct PointToPoint::Sent {
  C10dWork work;
  torch::Tensor tensor;
  int64_t to = 0;
  int64_t tag = 0;
};

torch::Tensor PointToPoint::Receipt::wait() {
  const auto state = std::move(state_);
  as_message(state->rank, "receiving from", state->from,
             [&] { wait_for(state->work, state->heartbeat, state->figures->waiting); });
  return state->tensor;
}

PointToPoint::PointToPoint(ProcessGroup& group, Heartbeat* heartbeat)
    : group_(group), heartbeat_(heartbeat), figures_(std::make_shared<Figures>()) {}
PointToPoint::~PointToPoint() = default;

void PointToPoint::send(const torch::Tensor& tensor, int64_t to, int64_t tag) {
  as_message(name_of(group_.rank()), "sending to", name_of(to), [&] {
    Sent sent{.work = {}, .tensor = tensor.contiguous(), .to = to, .tag = tag};
    std::vector<at::Tensor> tensors{sent.tensor};
    sent.work = group_.c10d_group()->send(tensors, static_cast<int>(to), static_cast<int>(tag));
    ++figures_->messages;
    figures_->bytes += message_bytes(sent.tensor);
    sent_.push_back(std::move(sent));
  });
}

PointToPoint::Receipt PointToPoint::receive(torch::Tensor into, int64_t from, int64_t tag) {
  return as_message(name_of(group_.rank()), "receiving from", name_of(from), [&] {
    Receipt receipt;
    std::vector<at::Tensor> tensors{into};
    const auto work =
        group_.c10d_group()->recv(tensors, static_cast<int>(from), static_cast<int>(tag));
    receipt.state_ = std::make_shared<Receipt::State>(Receipt::State{
        work, std::move(into), name_of(group_.rank()), name_of(from), heartbeat_, figures_});
    return receipt;
  });
}

int64_t PointToPoint::kept() const { return static_cast<int64_t>(sent_.size()); }

void PointToPoint::wait_for_send(int64_t to, int64_t tag) {
  const auto found = std::find_if(sent_.begin(), sent_.end(), [&](const Sent& sent) {
    return sent.to == to && sent.tag == tag;
  });
  if (found == sent_.end()) return;
  const Sent sent = std::move(*found);
  sent_.erase(found);
  as_message(name_of(group_.rank()), "sending to", name_of(to),
             [&] { wait_for(sent.work, heartbeat_, figures_->waiting); });
}

void PointToPoint::wait_for_sends() {
  for (const auto& sent : std::exchange(sent_, {})) {
    as_message(name_of(group_.rank()), "sending to", name_of(sent.to),
               [&] { wait_for(sent.work, heartbeat_, figures_->waiting); });
  }
}

void PointToPoint::broadcast(torch::Tensor tensor, int64_t root) {
  if (group_.world_size() == 1) return;
  as_message(name_of(group_.rank()), "receiving from", name_of(root), [&] {
    std::vector<at::Tensor> tensors{std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    const int64_t ranks = group_.world_size();
    const int64_t place = (group_.rank() - root + ranks) % ranks;  // behind the root
    figures_->bytes += ExchangeLog::broadcast_bytes(message_bytes(tensors.front()), place, ranks);
    wait_for(group_.c10d_group()->broadcast(tensors, options), heartbeat_, figures_->waiting);
  });
}

}  // namespace levin
