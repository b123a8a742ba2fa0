#include <levin/framework/collectives/deadline_sum.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/quiet_thread.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

using DeadlineClock = std::chrono::steady_clock;

/// The seconds between two looks into the store. Many ranks look less often, so that rank 0, which
/// serves the store, answers at most 20,000 times in a second.
double pause_of(double seconds, int64_t world_size) {
  return std::max(std::clamp(seconds / 10.0, 0.005, 0.1), 5e-5 * static_cast<double>(world_size));
}

DeadlineClock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<DeadlineClock::duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8)));  // a century would overflow
}

/// Calls `work` with the first number of a message, in its type.
template <class Work>
void with_numbers(const torch::Tensor& message, const Work& work) {
  if (message.scalar_type() == at::kFloat) {
    work(message.mutable_data_ptr<float>());
  } else {
    work(message.mutable_data_ptr<double>());
  }
}

}  // namespace

DeadlineSum::DeadlineSum(ProcessGroup& group, DeadlineSumOptions options)
    : group_(group),
      options_(std::move(options)),
      head_(group.world_size() + options_.flags),
      pause_(pause_of(options_.seconds, group.world_size())),
      raised_(static_cast<size_t>(options_.flags), 0.0) {
  if (options_.type == at::kFloat || options_.type == at::kDouble) return;
  throw ConfigError::conflict(
      fmt::format("a sum with a deadline in the type {}", at::toString(options_.type)),
      "use float32 or float64");
}

DeadlineSum::~DeadlineSum() {
  bool is_under_way = false;
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
    is_under_way = is_under_way_;
  }
  changed_.notify_all();
  // All ranks take all sums, so a sum is under way only if some rank has failed.
  if (is_under_way) group_.abort();
  if (thread_.joinable()) thread_.join();
}

void DeadlineSum::start() {
  {
    const std::lock_guard lock(mutex_);
    rests_ = false;
  }
  if (thread_.joinable()) return;
  thread_ = start_without_signals([this] { run(); });
}

void DeadlineSum::rest() {
  const std::lock_guard lock(mutex_);
  rests_ = true;
}

bool DeadlineSum::is_behind() const {
  const std::lock_guard lock(mutex_);
  return sent_ > taken_;
}

DeadlineSum::Message DeadlineSum::message() const {
  Message message;
  message.all = at::empty({head_ + options_.size}, at::TensorOptions(options_.type));
  message.body = message.all.narrow(0, head_, options_.size);
  with_numbers(message.all, [&](auto* numbers) { std::fill_n(numbers, head_, 0); });
  return message;
}

bool DeadlineSum::begin() {
  start();
  const std::lock_guard lock(mutex_);
  is_reserved_ = sent_ == taken_ && error_ == nullptr;
  return is_reserved_;
}

void DeadlineSum::send(const Message& message, const std::vector<double>& flags,
                       bool starts_clock) {
  with_numbers(message.all, [&](auto* numbers) {
    using Number = std::remove_reference_t<decltype(*numbers)>;
    numbers[group_.rank()] = 1;
    for (size_t i = 0; i < flags.size(); ++i) {
      numbers[static_cast<size_t>(group_.world_size()) + i] = static_cast<Number>(flags[i]);
    }
  });
  {
    const std::lock_guard lock(mutex_);
    part_ = Outgoing{message.all, Sent::part, starts_clock};
    std::fill(raised_.begin(), raised_.end(), 0.0);
  }
  changed_.notify_all();
}

void DeadlineSum::offer(const Message& message) {
  const std::lock_guard lock(mutex_);
  if (sent_ == taken_) offered_ = Outgoing{message.all, Sent::offered, false};
}

void DeadlineSum::raise(const std::vector<double>& flags) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < raised_.size(); ++i) {
    // Those of which sums have told that this rank hasn't taken yet are known already.
    const bool is_known =
        std::any_of(sums_.begin(), sums_.end(), [i](const Sum& sum) { return sum.flags[i] > 0.5; });
    raised_[i] = is_known ? 0.0 : flags[i];
  }
}

DeadlineSum::Sum DeadlineSum::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !sums_.empty() || error_ != nullptr; });
  if (sums_.empty()) std::rethrow_exception(error_);
  Sum sum = std::move(sums_.front());
  sums_.pop_front();
  ++taken_;
  return sum;
}

int64_t DeadlineSum::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void DeadlineSum::run() noexcept {
  std::exception_ptr error;
  try {
    return run_rounds();
  } catch (const Error&) {
    error = std::current_exception();
  } catch (const std::exception& thrown) {
    error = std::make_exception_ptr(
        DistributedError(fmt::format("rank {}: all_reduce: {}; {}", group_.global_rank(),
                                     plain_message(thrown), kOtherRankHint)));
  }
  {
    const std::lock_guard lock(mutex_);
    error_ = error;
    is_under_way_ = false;
  }
  changed_.notify_all();
}

void DeadlineSum::run_rounds() {
  for (int64_t round = 0;; ++round) {
    const auto out = wait_for_part(round);
    if (!out) return;
    const bool announced = all_reduce(round, *out);
    publish(*out);
    // All ranks have sent this round, so nobody asks for or announces an earlier one any more.
    if (announced_) group_.c10d_group()->getStore()->deleteKey(key_of(*announced_));
    announced_ = announced ? std::optional(round) : std::nullopt;
  }
}

std::string DeadlineSum::key_of(int64_t round) const {
  return fmt::format("{}/{}", options_.name, round);
}

/// Waits until there is something to send in `round`, and returns it; nothing if the object is to
/// be destroyed.
std::optional<DeadlineSum::Outgoing> DeadlineSum::wait_for_part(int64_t round) {
  auto& store = *group_.c10d_group()->getStore();
  std::optional<DeadlineClock::time_point> deadline;
  std::unique_lock lock(mutex_);
  while (true) {
    auto pause = duration_of(pause_);
    if (deadline) {
      pause = std::clamp(*deadline - DeadlineClock::now(), DeadlineClock::duration::zero(), pause);
    }
    changed_.wait_for(lock, pause, [this] { return stops_ || part_.has_value(); });
    if (stops_) return {};
    std::optional<Outgoing> out;
    if (part_) {
      out = std::exchange(part_, std::nullopt);
    } else if (rests_ || is_reserved_ || round < options_.warmup_rounds ||
               static_cast<int64_t>(sums_.size()) >= options_.max_rounds_behind) {
      continue;
    } else if (!deadline) {
      lock.unlock();
      const bool is_announced = store.check({key_of(round)});
      lock.lock();
      // The first rank has waited for `pause_` before it announced the round.
      if (is_announced) deadline = DeadlineClock::now() + duration_of(options_.seconds - pause_);
      continue;
    } else if (DeadlineClock::now() < *deadline) {
      continue;
    } else {
      out = offered_ ? *offered_ : Outgoing{substitute(), Sent::nothing, false};
    }
    if (out->sent == Sent::offered) {
      with_numbers(out->message, [&](auto* numbers) {
        std::copy(raised_.begin(), raised_.end(), numbers + group_.world_size());
      });
    }
    offered_.reset();
    is_reserved_ = is_done_ = false;
    is_under_way_ = true;
    ++sent_;
    return out;
  }
}

/// What is sent in place of a part: zeros, and the flags that were raised.
torch::Tensor DeadlineSum::substitute() {
  auto message = at::empty({head_ + options_.size}, at::TensorOptions(options_.type));
  // Written by this thread alone: an operation of LibTorch would start more threads.
  std::memset(message.mutable_data_ptr(), 0, message.nbytes());
  with_numbers(message, [&](auto* numbers) {
    std::copy(raised_.begin(), raised_.end(), numbers + group_.world_size());
  });
  return message;
}

/// Sums the message over ranks, in place. Returns whether this rank has announced the round.
bool DeadlineSum::all_reduce(int64_t round, const Outgoing& out) {
  std::vector<at::Tensor> tensors{out.message};
  const auto work = group_.c10d_group()->allreduce(tensors);
  work->getFuture()->addCallback([this](c10::ivalue::Future&) {
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    changed_.notify_all();
  });
  const auto is_done = [this] { return is_done_; };
  std::unique_lock lock(mutex_);
  const bool announces = out.starts_clock && !changed_.wait_for(lock, duration_of(pause_), is_done);
  if (announces) {
    lock.unlock();
    group_.c10d_group()->getStore()->add(key_of(round), 1);
    lock.lock();
  }
  changed_.wait(lock, is_done);
  lock.unlock();
  work->wait();  // throws if it has failed
  return announces;
}

/// Puts the sum, which is in the message now, where `take` finds it.
void DeadlineSum::publish(const Outgoing& out) {
  Sum sum;
  sum.body = out.message.narrow(0, head_, options_.size);
  sum.sent = out.sent;
  const auto ranks = static_cast<size_t>(group_.world_size());
  with_numbers(out.message, [&](const auto* numbers) {
    for (size_t rank = 0; rank < ranks; ++rank) sum.in_time.push_back(numbers[rank] > 0.5);
    for (size_t i = 0; i < raised_.size(); ++i) {
      sum.flags.push_back(static_cast<double>(numbers[ranks + i]));
    }
  });
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < raised_.size(); ++i) {
      if (sum.flags[i] > 0.5) raised_[i] = 0.0;
    }
    sums_.push_back(std::move(sum));
    is_under_way_ = false;
    bytes_ += CommunicationLog::ring_bytes(static_cast<int64_t>(out.message.nbytes()),
                                           group_.world_size());
  }
  changed_.notify_all();
}

}  // namespace levin
