#include <levin/framework/collectives/group_part.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

void require_part(const std::vector<int64_t>& ranks, int64_t size) {
  const std::set<int64_t> different(ranks.begin(), ranks.end());
  if (!ranks.empty() && different.size() == ranks.size() && *different.begin() >= 0 &&
      *different.rbegin() < size) {
    return;
  }
  throw ConfigError::invalid_value("the ranks of a process group",
                                   fmt::format("[{}]", fmt::join(ranks, ", ")),
                                   fmt::format("must be different ones from 0 to {}", size - 1));
}

/// A wait that can't be ended any more has ended already.
void end_waits(c10d::ProcessGroup& group) noexcept {
  try {
    group.abort();
  } catch (const std::exception&) {
  }
}

}  // namespace

std::vector<int64_t> all_ranks(int64_t size) {
  std::vector<int64_t> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

Cluster part_of(Cluster whole, const std::vector<int64_t>& ranks) {
  require_part(ranks, whole.world_size);
  const auto own = std::find(ranks.begin(), ranks.end(), whole.rank);
  whole.rank = own == ranks.end() ? -1 : own - ranks.begin();
  whole.world_size = static_cast<int64_t>(ranks.size());
  return whole;
}

GroupAborts::GroupAborts() = default;
GroupAborts::~GroupAborts() = default;

void GroupAborts::abort() noexcept {
  aborted_ = true;
  const std::lock_guard lock(mutex_);
  if (group_) end_waits(*group_);
  for (const auto& one : made_from_it_) {
    if (const auto alive = one.lock()) alive->abort();
  }
}

void GroupAborts::set(c10::intrusive_ptr<c10d::ProcessGroup> group) {
  const std::lock_guard lock(mutex_);
  group_ = std::move(group);
  if (aborted_) end_waits(*group_);
}

std::shared_ptr<GroupAborts> GroupAborts::make_another() {
  auto one = std::make_shared<GroupAborts>();
  const std::lock_guard lock(mutex_);
  std::erase_if(made_from_it_, [](const auto& each) { return each.expired(); });
  made_from_it_.emplace_back(one);
  if (aborted_) one->abort();
  return one;
}

}  // namespace levin
