#include <levin/framework/strategies/group_ranks.h>

#include <algorithm>
#include <span>

#include <ATen/Functions.h>
#include <fmt/format.h>

namespace levin {

std::string GroupRanks::from_rank_zero(const std::string& key,
                                       const std::function<std::string()>& make) {
  const auto place = fmt::format("from_rank_zero/{}/{}", key, calls_[key]++);
  if (!is_zero()) {
    const Heartbeat::Waiting waiting(heartbeat_);
    return group_.take(place, size() - 1);
  }
  std::string value = make();
  group_.set(place, value);
  return value;
}

bool GroupRanks::any(bool raised) {
  auto value = at::full({1}, raised ? 1.0 : 0.0, at::kDouble);
  const Heartbeat::Waiting waiting(heartbeat_);
  group_.all_reduce(value, ProcessGroup::Op::max);
  return value.item<double>() > 0.5;
}

std::vector<std::string> GroupRanks::gather(const std::string& own) {
  const Heartbeat::Waiting waiting(heartbeat_);
  return group_.all_gather_text(own);
}

void GroupRanks::exchange_flags(std::span<double> sums) {
  note_progress();
  auto numbers = at::zeros({static_cast<int64_t>(StepFlags::kNumbers + sums.size())}, at::kDouble);
  auto* first = numbers.mutable_data_ptr<double>();
  std::copy(sums.begin(), sums.end(), first + StepFlags::kNumbers);
  flags_.write(std::span<double, StepFlags::kNumbers>(first, StepFlags::kNumbers));
  {
    const Heartbeat::Waiting waiting(heartbeat_);
    if (size() > 1) group_.all_reduce(numbers, ProcessGroup::Op::sum);
  }
  std::copy_n(first + StepFlags::kNumbers, sums.size(), sums.begin());
  flags_.read(std::span<const double, StepFlags::kNumbers>(first, StepFlags::kNumbers), *this);
}

void GroupRanks::note_progress() {
  heartbeat_.check();
  heartbeat_.progress();
}

std::shared_ptr<std::byte> GroupRanks::shared_memory(size_t bytes, double most) {
  const Heartbeat::Waiting waiting(heartbeat_);
  return group_.shared_memory(bytes, most);
}

void GroupRanks::sum_tensor(const torch::Tensor& tensor) {
  const Heartbeat::Waiting waiting(heartbeat_);
  group_.all_reduce(tensor, ProcessGroup::Op::sum);
}

void GroupRanks::barrier() {
  const Heartbeat::Waiting waiting(heartbeat_);
  group_.barrier();
}

}  // namespace levin
