#include <levin/framework/data/prefetch_ring.h>

#include <algorithm>
#include <utility>

namespace levin {

PrefetchRing::PrefetchRing(const BatchSource& source, int64_t workers, int64_t capacity)
    : source_(source), slots_(static_cast<size_t>(capacity)) {
  try {
    for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {
    close();
    throw;
  }
}

PrefetchRing::~PrefetchRing() { close(); }

void PrefetchRing::close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void PrefetchRing::stop() {
  std::unique_lock<std::mutex> lock(mutex_);
  end_ = claimed_;
  waiting_ = true;
  done_.wait(lock, [this] { return busy_ == 0; });
  waiting_ = false;
  for (auto& entry : slots_) entry.ready = false;
}

void PrefetchRing::start(int64_t first, int64_t end) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    head_ = claimed_ = first;
    end_ = end;
  }
  work_.notify_all();
}

void PrefetchRing::take(PreparedBatch& out) {
  bool wake = false;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    Slot& next = slot(head_);
    if (!next.ready) {
      waiting_ = true;
      done_.wait(lock, [&next] { return next.ready; });
      waiting_ = false;
    }
    swap(next.prepared, out);
    next.ready = false;
    ++head_;
    // Waking a thread costs microseconds. Sleeping threads are therefore woken only when half of
    // the slots are free, and not for each batch.
    const auto capacity = static_cast<int64_t>(slots_.size());
    wake = idle_ > 0 && claimed_ < end_ && 2 * (head_ + capacity - claimed_) >= capacity;
  }
  if (wake) work_.notify_all();
}

bool PrefetchRing::has_work() const {
  return claimed_ < end_ && claimed_ < head_ + static_cast<int64_t>(slots_.size());
}

void PrefetchRing::work() {
  BatchSource::Scratch scratch;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    work_.wait(lock, [this] { return closing_ || has_work(); });
    --idle_;
    if (closing_) return;
    const int64_t index = claimed_++;
    Slot& mine = slot(index);
    ++busy_;
    lock.unlock();
    source_.make(index, scratch, mine.prepared);
    lock.lock();
    --busy_;
    mine.ready = true;
    const auto& made = mine.prepared;
    if (made.last || (made.global_rows == 0 && !made.error)) end_ = std::min(end_, index + 1);
    if (waiting_ && (index == head_ || busy_ == 0)) done_.notify_one();
  }
}

}  // namespace levin
