#include <levin/framework/parameter_server/server_table.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace levin {
namespace {

// How often a server looks whether a worker that waits for others is still there.
constexpr std::chrono::milliseconds kLookForWorker{200};

}  // namespace

ServerTable::Reading::~Reading() {
  const std::lock_guard lock(table_.mutex_);
  memory_.reset();
}

ServerTable::ServerTable(ParameterServerOptions options, ConstServerSpan values, Apply apply)
    : options_(checked_server_options(std::move(options), values)),
      apply_(std::move(apply)),
      type_(values.type()),
      count_(values.size()),
      published_(tables_.take(table_bytes())),
      clock_(options_.workers, options_.staleness),
      workers_(static_cast<size_t>(options_.workers)) {
  if (values.bytes() > 0) std::memcpy(published_->data(), values.data(), values.bytes());
  applying_ = std::thread([this] { apply_gradients(); });
}

ServerTable::~ServerTable() {
  stop();
  applying_.join();
}

ServerDescription ServerTable::description() const {
  return {.type = static_cast<int64_t>(type_),
          .workers = options_.workers,
          .server = options_.server,
          .servers = options_.servers,
          .rows = options_.rows,
          .width = options_.width};
}

/// Waits until it holds, or a worker or server is lost, which the answer then says.
bool ServerTable::wait_for(std::unique_lock<std::mutex>& lock, const IsGone& is_gone,
                           const std::function<bool()>& holds) {
  while (!changed_.wait_for(lock, kLookForWorker,
                            [&] { return is_stopping_ || answer_.status != 0 || holds(); })) {
    if (is_gone()) return false;
  }
  return !is_stopping_;
}

bool ServerTable::learn(std::span<const int64_t> clocks) {
  if (clocks.empty()) return true;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (clocks[i] < 0 || clocks[i] > workers_[i].staged) return false;
    }
    for (size_t i = 0; i < workers_.size(); ++i) {
      workers_[i].counted = std::max(workers_[i].counted, clocks[i]);
    }
  }
  changed_.notify_all();
  return true;
}

bool ServerTable::prepare(ServerGradient& gradient, const IsGone& is_gone) {
  std::unique_lock lock(mutex_);
  auto& worker = of(gradient.worker);
  if (!wait_for(lock, is_gone, [&] { return worker.waiting.size() < most_waiting(); })) {
    return false;
  }
  const auto count = static_cast<size_t>(gradient.count * options_.width);
  worker.prepared = gradients_.take(count * static_cast<size_t>(type_));
  gradient.values = {type_, worker.prepared->data(), count};
  return true;
}

void ServerTable::stage(ServerGradient gradient, const ServerFlags& flags) {
  const std::lock_guard lock(mutex_);
  auto& worker = of(gradient.worker);
  if (worker.waiting.size() >= most_waiting()) {  // another worker has failed, and nothing counts
    worker.prepared.reset();
    return;
  }
  gradient.number = ++worker.staged;
  worker.waiting.push_back({std::move(gradient), flags, std::move(worker.prepared)});
}

void ServerTable::commit(int64_t worker) {
  {
    const std::lock_guard lock(mutex_);
    of(worker).counted = of(worker).staged;
  }
  changed_.notify_all();
}

bool ServerTable::may_read(int64_t worker, std::span<const int64_t> clocks) const {
  if (published_ == nullptr) return false;
  const auto& own = workers_[static_cast<size_t>(worker)];
  if (is_first()) return own.applied == own.counted && clock_.may_read(worker);
  for (size_t i = 0; i < clocks.size(); ++i) {
    if (workers_[i].applied < clocks[i]) return false;
  }
  return true;
}

std::unique_ptr<ServerTable::Reading> ServerTable::read(int64_t worker,
                                                        std::span<const int64_t> clocks,
                                                        const IsGone& is_gone) {
  std::unique_lock lock(mutex_);
  if (!wait_for(lock, is_gone, [&] { return may_read(worker, clocks); })) return nullptr;
  if (answer_.status != 0) {
    auto failure = std::make_unique<Reading>(*this, nullptr);
    failure->answer.status = answer_.status;
    lock.unlock();
    return failure;
  }
  auto clocks_now = locked_clocks();
  auto reading = std::make_unique<Reading>(*this, published_);
  reading->values = view(*published_);
  reading->answer = answer_;
  reading->clocks = std::move(clocks_now);
  if (options_.delay_compensation > 0.0) of(worker).pulled = published_;
  lock.unlock();
  return reading;
}

ServerAnswer ServerTable::status() const {
  const std::lock_guard lock(mutex_);
  return {.status = answer_.status};
}

std::vector<int64_t> ServerTable::clocks() const {
  const std::lock_guard lock(mutex_);
  return locked_clocks();
}

std::vector<int64_t> ServerTable::locked_clocks() const {
  std::vector<int64_t> clocks;
  for (const auto& one : workers_) clocks.push_back(one.applied);
  return clocks;
}

bool ServerTable::join(int64_t worker) {
  const std::lock_guard lock(mutex_);
  return !std::exchange(of(worker).has_joined, true);
}

void ServerTable::leave(int64_t worker) {
  {
    const std::lock_guard lock(mutex_);
    of(worker).pulled.reset();
    wait_no_longer_for(worker);
  }
  changed_.notify_all();
}

/// Notes that a worker has left or was lost; the mutex is locked.
void ServerTable::wait_no_longer_for(int64_t worker) {
  clock_.leave(worker);
  if (!clock_.all_have_left()) return;
  // Nobody is there any more from whom this server could learn that the last gradients count on the
  // first one; those of workers that have left do.
  for (int64_t i = 0; i < options_.workers; ++i) {
    if (std::find(lost_.begin(), lost_.end(), i) == lost_.end()) of(i).counted = of(i).staged;
  }
}

void ServerTable::lose(int64_t worker) {
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_ || clock_.has_left(worker)) return;
    lost_.push_back(worker);
    ++answer_.lost;
    auto& own = of(worker);
    own.prepared.reset();
    own.pulled.reset();
    // What it hasn't committed here never counts. On other servers, somebody may learn that it
    // does.
    while (is_first() && own.staged > own.counted) {
      own.waiting.pop_back();
      --own.staged;
    }
    if (options_.on_lost_worker == ParameterServerOptions::OnLostWorker::leave_out) {
      wait_no_longer_for(worker);
    } else if (answer_.status == 0) {
      answer_.status = 1 + worker;
    }
  }
  changed_.notify_all();
}

void ServerTable::fail(int64_t status) {
  {
    const std::lock_guard lock(mutex_);
    if (answer_.status == 0) answer_.status = status;
  }
  changed_.notify_all();
}

void ServerTable::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
}

std::vector<int64_t> ServerTable::lost_workers() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

/// Takes the gradients that are to be applied together now, in the order of the workers; none if
/// there are none yet.
std::vector<ServerTable::Staged> ServerTable::take_ready() {
  std::vector<Staged> ready;
  const auto has_gradient = [](const Worker& one) {
    return !one.waiting.empty() && one.waiting.front().gradient.number <= one.counted;
  };
  const auto take = [&](Worker& one) {
    ready.push_back(std::move(one.waiting.front()));
    one.waiting.pop_front();
  };
  if (!is_in_step()) {
    for (size_t i = 0; i < workers_.size() && ready.empty(); ++i) {
      auto& one = workers_[next_worker_];
      next_worker_ = (next_worker_ + 1) % workers_.size();
      if (has_gradient(one)) take(one);
    }
    return ready;
  }
  int64_t round = INT64_MAX;
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (has_gradient(workers_[i])) {
      round = std::min(round, workers_[i].waiting.front().gradient.number);
    } else if (is_first() && !clock_.has_left(static_cast<int64_t>(i))) {
      return ready;
    }
  }
  for (auto& one : workers_) {
    if (has_gradient(one) && one.waiting.front().gradient.number == round) take(one);
  }
  return ready;
}

/// Takes the values in order to change them; the mutex is locked. If somebody reads them, other
/// memory is returned, to which `source` is to be copied first.
std::shared_ptr<ServerMemory> ServerTable::begin_change(std::shared_ptr<ServerMemory>& source) {
  is_changing_ = true;
  if (published_.use_count() == 2) return std::exchange(published_, nullptr);  // the pool's, ours
  source = published_;
  return tables_.take(table_bytes());
}

void ServerTable::apply_gradients() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::vector<Staged> ready;
    changed_.wait(
        lock, [&] { return is_stopping_ || (!is_changing_ && !(ready = take_ready()).empty()); });
    if (is_stopping_) return;
    std::shared_ptr<ServerMemory> source;
    auto changed = begin_change(source);
    std::vector<std::shared_ptr<ServerMemory>> pulled;
    for (const auto& one : ready) pulled.push_back(of(one.gradient.worker).pulled);
    lock.unlock();
    if (source) std::memcpy(changed->data(), source->data(), table_bytes());
    apply(view(*changed), ready, pulled);
    lock.lock();
    published_ = std::move(changed);
    account(ready);
    ready.clear();
    is_changing_ = false;
    changed_.notify_all();
  }
}

void ServerTable::apply(ServerSpan values, std::vector<Staged>& ready,
                        std::span<const std::shared_ptr<ServerMemory>> pulled) {
  std::vector<ServerGradient> gradients;
  for (size_t i = 0; i < ready.size(); ++i) {
    const auto& gradient = gradients.emplace_back(std::move(ready[i].gradient));
    if (pulled[i] == nullptr) continue;
    compensate_delay(values, view(*pulled[i]), options_.width, gradient,
                     options_.delay_compensation);
  }
  apply_(values, gradients);
  for (size_t i = 0; i < ready.size(); ++i) ready[i].gradient = std::move(gradients[i]);
}

/// Notes that gradients have been applied; the mutex is locked.
void ServerTable::account(const std::vector<Staged>& ready) {
  ++answer_.round;
  if (is_in_step()) {
    answer_.weight = 0.0;
    answer_.flags = ready.front().flags;
  } else if (answer_.round == 1) {
    answer_.flags = ready.front().flags;
  }
  for (const auto& one : ready) {
    auto& worker = of(one.gradient.worker);
    worker.applied = one.gradient.number;
    clock_.advance(one.gradient.worker);
    answer_.weight += one.gradient.weight;
    for (size_t k = 0; k < kServerFlags; ++k) {
      answer_.flags[k] = std::max(answer_.flags[k], one.flags[k]);
    }
  }
  answer_.slowest = INT64_MAX;
  answer_.fastest = 0;
  for (int64_t i = 0; i < options_.workers; ++i) {
    answer_.fastest = std::max(answer_.fastest, of(i).applied);
    if (!clock_.has_left(i)) answer_.slowest = std::min(answer_.slowest, of(i).applied);
  }
  answer_.slowest = std::min(answer_.slowest, answer_.fastest);
}

void ServerTable::with_values(const std::function<void(ServerSpan)>& work) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !is_changing_; });
  std::shared_ptr<ServerMemory> source;
  auto changed = begin_change(source);
  lock.unlock();
  if (source) std::memcpy(changed->data(), source->data(), table_bytes());
  const auto publish = [&] {
    lock.lock();
    published_ = std::move(changed);
    source.reset();
    is_changing_ = false;
    lock.unlock();
    changed_.notify_all();
  };
  try {
    work(view(*changed));
  } catch (...) {
    publish();
    throw;
  }
  publish();
}

}  // namespace levin
