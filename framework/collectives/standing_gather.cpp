#include <levin/framework/collectives/standing_gather.h>

#include <exception>
#include <utility>

#include <ATen/Functions.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/collectives/process_group.h>

namespace levin {

StandingGather::StandingGather(ProcessGroup& group, int64_t bytes)
    : group_(group.c10d_group()), tag_(group.new_tag()) {
  for (auto& round : rounds_) round.all = at::zeros({group_->getSize(), bytes}, at::kByte);
  expect(rounds_[current_]);
}

StandingGather::~StandingGather() = default;

/// Tells the other ranks that this one waits for their bytes of that round. If one of them has
/// ended, which it may after its last round, there is nothing to be told; the round will fail if it
/// is begun all the same.
void StandingGather::expect(Round& round) {
  Works received;
  try {
    for (int rank = 0; rank < group_->getSize(); ++rank) {
      if (rank == group_->getRank()) continue;
      std::vector<at::Tensor> one{round.all[rank]};
      received.push_back(group_->recv(one, rank, tag_));
    }
  } catch (const std::exception&) {
    return;
  }
  round.received = std::move(received);
}

void StandingGather::start(const torch::Tensor& own) {
  auto& now = rounds_[current_];
  expect(rounds_[1 - current_]);
  own_ = own.contiguous();
  now.all[group_->getRank()].copy_(own_);
  std::vector<at::Tensor> mine{own_};
  for (int rank = 0; rank < group_->getSize(); ++rank) {
    if (rank != group_->getRank()) sent_.push_back(group_->send(mine, rank, tag_));
  }
}

torch::Tensor StandingGather::finish() {
  auto& now = rounds_[current_];
  current_ = 1 - current_;
  const auto received = std::exchange(now.received, {});
  TORCH_CHECK(received.size() + 1 == static_cast<size_t>(group_->getSize()),
              "another rank has ended the connection");
  for (const auto& work : received) work->wait();
  for (const auto& work : std::exchange(sent_, {})) work->wait();
  own_ = torch::Tensor();
  return now.all;
}

}  // namespace levin
