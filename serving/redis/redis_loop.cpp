#include <levin/serving/redis/redis_loop.h>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <random>

#include <levin/framework/core/diagnostics.h>

namespace levin {
namespace {

constexpr int kMessageLook = 50;  // milliseconds until a thread looks at `stop`
// Times of kMessageLook without a word: after the first, Redis is asked, and after the second,
// given up.
constexpr int kAskAfterLooks = 20;
constexpr int kGiveUpAfterLooks = 100;

}  // namespace

void RedisStop::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_set_ = true;
  }
  changed_.notify_all();
}

bool RedisStop::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return is_set_.load(); });
}

void keep_connected(const RedisAddress& address, RedisStop& stop,
                    const std::function<void(RedisConnection&)>& work,
                    const std::function<void(const std::string& reason)>& lost) {
  constexpr std::chrono::milliseconds kLeast{20};
  constexpr std::chrono::milliseconds kMost{1000};
  auto pause = kLeast;
  while (!stop.is_set()) {
    const auto begin = std::chrono::steady_clock::now();
    try {
      RedisConnection connection(address);
      connection.open();
      work(connection);
    } catch (const std::exception& error) {
      if (lost) lost(error.what());
    }
    if (std::chrono::steady_clock::now() - begin > kMost) pause = kLeast;
    if (stop.wait_for(pause)) return;
    pause = std::min(pause * 2, kMost);
  }
}

void read_messages(
    RedisConnection& redis, RedisStop& stop,
    const std::function<void(std::string_view channel, std::string_view text)>& heed) {
  for (int quiet = 0; !stop.is_set();) {
    const auto reply = redis.read_for(kMessageLook);
    if (!reply) {
      ++quiet;
      if (quiet == kAskAfterLooks) redis.append({"PING"});
      if (quiet == kGiveUpAfterLooks) throw RedisLost("it doesn't answer");
      continue;
    }
    quiet = 0;
    const auto& words = reply->elements;
    if (words.size() == 3 && words[0].text == "message") heed(words[1].text, words[2].text);
  }
}

void RedisNews::lost(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (is_lost_) return;
  is_lost_ = true;
  diagnostics::print(
      fmt::format("Redis at {} can't be used ({}); trying again until it can\n", place_, reason));
}

void RedisNews::found() {
  const std::lock_guard lock(mutex_);
  if (!is_lost_) return;
  is_lost_ = false;
  diagnostics::print(fmt::format("Redis at {} answers again\n", place_));
}

std::string random_member_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

}  // namespace levin
