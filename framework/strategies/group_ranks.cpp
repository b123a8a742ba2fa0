#include <levin/framework/strategies/group_ranks.h>

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

void GroupRanks::exchange_flags() {
  heartbeat_.check();
  heartbeat_.progress();
  auto numbers = at::zeros({static_cast<int64_t>(StepFlags::kNumbers)}, at::kDouble);
  auto* first = numbers.mutable_data_ptr<double>();
  flags_.write(std::span<double, StepFlags::kNumbers>(first, StepFlags::kNumbers));
  {
    const Heartbeat::Waiting waiting(heartbeat_);
    group_.all_reduce(numbers, ProcessGroup::Op::sum);
  }
  flags_.read(std::span<const double, StepFlags::kNumbers>(first, StepFlags::kNumbers), *this);
}

void GroupRanks::barrier() {
  const Heartbeat::Waiting waiting(heartbeat_);
  group_.barrier();
}

}  // namespace levin
