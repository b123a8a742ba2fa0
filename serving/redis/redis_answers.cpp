#include <levin/serving/redis/redis_answers.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr size_t kMostAnswers = 128;  // of one round trip

}  // namespace

WorkerAnswers::WorkerAnswers(RedisNames names, double result_expiry)
    : names_(std::move(names)),
      expiry_(fmt::format("{:.0f}", std::max(std::ceil(result_expiry * 1000), 1.0))) {}

void WorkerAnswers::add(RedisEntry entry, std::string text) {
  {
    const std::lock_guard lock(mutex_);
    answers_.push_back({std::move(entry), std::move(text)});
  }
  has_some_.notify_one();
}

void WorkerAnswers::write(RedisConnection& redis, RedisStop& stop) {
  const std::string script = redis.load_script(kAnswerScript);
  while (true) {
    std::vector<const Answer*> batch;
    {
      std::unique_lock lock(mutex_);
      has_some_.wait_for(lock, std::chrono::milliseconds(100),
                         [this] { return !answers_.empty(); });
      if (answers_.empty() && stop.is_set()) return;
      // Only this thread removes answers, and adding one moves none.
      for (size_t i = 0; i < std::min(answers_.size(), kMostAnswers); ++i) {
        batch.push_back(&answers_[i]);
      }
    }
    for (const auto* answer : batch) append(redis, script, *answer);
    for (const auto* answer : batch) {
      const RedisReply reply = redis.read();
      if (reply.is_error()) {
        diagnostics::print(fmt::format("Redis doesn't take the answer to request {}: {}\n",
                                       shortened(answer->entry.id), shortened(reply.text)));
      }
      const std::lock_guard lock(mutex_);
      answers_.pop_front();
    }
  }
}

void WorkerAnswers::append(RedisConnection& redis, std::string_view script,
                           const Answer& answer) const {
  const RedisEntry& entry = answer.entry;
  redis.append({"EVALSHA", script, "3", names_.result(entry.id), names_.requests(entry.model),
                names_.waiting(entry.id), answer.text, expiry_,
                entry.front.empty() ? std::string() : names_.front(entry.front),
                names_.results(entry.model), RedisNames::kGroup, entry.entry, entry.id});
}

bool WorkerAnswers::is_empty() const {
  const std::lock_guard lock(mutex_);
  return answers_.empty();
}

bool WorkerAnswers::has(std::string_view model, std::string_view entry) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(answers_.begin(), answers_.end(), [model, entry](const Answer& answer) {
    return answer.entry.model == model && answer.entry.entry == entry;
  });
}

}  // namespace levin
