#include <levin/serving/redis/redis_taker.h>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/redis/redis_registry.h>

namespace levin {
namespace {

std::string milliseconds_text(double seconds) {
  return fmt::format("{:.0f}", std::max(seconds * 1000, 1.0));
}

// A thread that waits in Redis looks this often whether it is to end.
constexpr std::string_view kBlock = "100";
// Requests for a version that only other processes have wait for so long, at most so many.
constexpr std::chrono::seconds kPostponeFor{5};
constexpr size_t kMostPostponed = 256;
constexpr std::chrono::milliseconds kPostponedPause{20};

}  // namespace

RedisTaker::RedisTaker(const RedisOptions& options, std::string worker, std::string model,
                       Backend& backend, WorkerAnswers& answers, int64_t batch)
    : options_(options),
      address_(parse_redis_url(options.url)),
      names_{options.prefix},
      worker_(std::move(worker)),
      model_(std::move(model)),
      stream_(names_.requests(model_)),
      backend_(backend),
      answers_(answers),
      batch_(batch) {
  thread_ = std::thread(
      [this] { keep_connected(address_, stop_, [this](RedisConnection& redis) { run(redis); }); });
}

RedisTaker::~RedisTaker() {
  stop_.stop();
  has_room_.notify_all();
  thread_.join();
  std::unique_lock lock(mutex_);
  // They stay in Redis, for another process that has their version.
  for (const auto& each : postponed_) in_hand_.erase(each.entry.entry);
  has_room_.wait(lock, [this] { return in_hand_.empty(); });
}

void RedisTaker::run(RedisConnection& redis) {
  clock_ahead_ = redis.clock_ahead();
  make_group(redis);
  take_lost(redis);
  const auto pause = std::chrono::duration<double>(options_.claim_after / 4);
  auto claimed_at = std::chrono::steady_clock::now() - std::chrono::hours(1);
  while (!stop_.is_set()) {
    if (std::chrono::steady_clock::now() - claimed_at > pause) {
      take_from_dead(redis);
      claimed_at = std::chrono::steady_clock::now();
    }
    look_at_postponed();
    if (postponed_.size() >= kMostPostponed) {
      stop_.wait_for(kPostponedPause);
    } else if (wait_for_room(batch_)) {
      take_new(redis, batch_);
    }
  }
}

void RedisTaker::make_group(RedisConnection& redis) {
  const auto made = redis.ask({"XGROUP", "CREATE", stream_, RedisNames::kGroup, "0", "MKSTREAM"});
  if (!made.is_error() || made.text.substr(0, 9) == "BUSYGROUP") return;
  diagnostics::print(fmt::format("Redis can't keep the requests of model {} in {}: {}\n", model_,
                                 stream_, shortened(made.text)));
  stop_.wait_for(std::chrono::seconds(1));
  throw RedisLost("the stream can't be used");
}

// What Redis gave to this process while the connection broke.
void RedisTaker::take_lost(RedisConnection& redis) {
  std::string last = "0";
  while (!stop_.is_set()) {
    if (!wait_for_room(batch_)) return;
    const auto reply = redis.ask({"XREADGROUP", "GROUP", RedisNames::kGroup, worker_, "COUNT",
                                  std::to_string(batch_), "STREAMS", stream_, last});
    if (!reply.is_array() || reply.elements.empty() || reply.elements[0].elements.size() != 2)
      return;
    const auto& entries = reply.elements[0].elements[1].elements;
    if (entries.empty()) return;
    for (const auto& entry : entries) {
      if (entry.elements.empty()) return;
      last = entry.elements[0].text;
      if (entry.elements.size() < 2 || entry.elements[1].is_nil()) {  // somebody has deleted it
        redis.ask({"XACK", stream_, RedisNames::kGroup, last});
        continue;
      }
      take(redis, entry);
    }
  }
}

void RedisTaker::take_new(RedisConnection& redis, int64_t most) {
  const auto reply = redis.ask({"XREADGROUP", "GROUP", RedisNames::kGroup, worker_, "COUNT",
                                std::to_string(most), "BLOCK", kBlock, "STREAMS", stream_, ">"});
  if (reply.is_nil()) return;
  if (reply.is_error()) {  // Redis, or the stream, was emptied
    make_group(redis);
    return;
  }
  if (reply.elements.empty() || reply.elements[0].elements.size() != 2) return;
  for (const auto& entry : reply.elements[0].elements[1].elements) take(redis, entry);
}

void RedisTaker::take_from_dead(RedisConnection& redis) {
  const auto pending = redis.ask({"XPENDING", stream_, RedisNames::kGroup});
  const auto consumers = redis.ask({"XINFO", "CONSUMERS", stream_, RedisNames::kGroup});
  if (pending.is_error() || !consumers.is_array()) return make_group(redis);
  const std::string script = redis.load_script(kForgetScript);
  for (const auto& consumer : consumers.elements) {  // name, NAME, pending, COUNT ...
    if (consumer.elements.size() < 4) continue;
    const std::string& name = consumer.elements[1].text;
    if (name == worker_) continue;
    if (redis.ask({"EXISTS", names_.worker(name)}).integer == 1) continue;
    claim(redis, name, script);
  }
}

void RedisTaker::claim(RedisConnection& redis, const std::string& consumer,
                       const std::string& script) {
  const auto pending = redis.ask(
      {"XPENDING", stream_, RedisNames::kGroup, "-", "+", std::to_string(batch_), consumer});
  std::vector<std::string> together;
  std::vector<std::string> alone;
  std::vector<std::string> given_up;
  for (const auto& each : pending.elements) {  // entry, consumer, idle, how often taken
    if (each.elements.size() != 4) continue;
    const int64_t taken = each.elements[3].integer;
    (taken >= kAlone      ? given_up
     : taken >= kTogether ? alone
                          : together)
        .push_back(each.elements[0].text);
  }
  if (!together.empty() && wait_for_room(batch_)) {
    for (const auto& entry : claimed(redis, together)) take(redis, entry);
  }
  for (const auto& each : alone) {
    if (!wait_for_room(0)) return;
    for (const auto& entry : claimed(redis, {each})) take(redis, entry);
    if (!wait_for_room(0)) return;
  }
  if (!given_up.empty()) {
    for (const auto& entry : claimed(redis, given_up)) {
      if (entry.elements.size() != 2) continue;
      diagnostics::print(fmt::format(
          "a request for model {} was taken {} times without an answer; it is given up\n", model_,
          kAlone));
      answers_.add(entry_of(model_, entry), to_wire(Refusal::failed()));
    }
  }
  if (pending.elements.empty()) {
    redis.ask(
        {"EVALSHA", script, "2", stream_, names_.worker(consumer), RedisNames::kGroup, consumer});
  }
}

// Entries that have just been claimed by another process aren't idle, and stay with it.
std::vector<RedisReply> RedisTaker::claimed(RedisConnection& redis,
                                            const std::vector<std::string>& entries) {
  const std::string idle = milliseconds_text(options_.claim_after / 2);
  RedisConnection::Arguments arguments = {"XCLAIM", stream_, RedisNames::kGroup, worker_, idle};
  arguments.insert(arguments.end(), entries.begin(), entries.end());
  auto reply = redis.ask(arguments);
  // A deleted entry is nil in old versions of Redis; it is removed after the next connection.
  return std::move(reply.elements);
}

void RedisTaker::take(RedisConnection& redis, const RedisReply& reply) {
  if (reply.elements.size() != 2) return;
  RedisEntry entry = entry_of(model_, reply);
  {
    const std::lock_guard lock(mutex_);
    if (in_hand_.count(entry.entry) > 0 || answers_.has(model_, entry.entry)) return;
    in_hand_.insert(entry.entry);
  }
  infer(redis, entry, reply.elements[1].elements);
}

void RedisTaker::infer(RedisConnection& redis, const RedisEntry& entry,
                       const std::vector<RedisReply>& fields) {
  try {
    const int64_t now = unix_milliseconds() + clock_ahead_;
    RedisRequest request = request_of(fields, backend_, model_, now, options_.timeout);
    const std::string& version = request.inference.version;
    if (!version.empty() && !has_version(request.inference) && is_elsewhere(redis, version)) {
      postponed_.push_back({entry, std::move(request), std::chrono::steady_clock::now()});
      return;
    }
    give(entry, std::move(request));
  } catch (const Refusal& refusal) {
    finish(entry, to_wire(refusal));
  } catch (const std::exception& error) {
    diagnostics::print(fmt::format("a request for model {} failed: {}\n", model_, error.what()));
    finish(entry, to_wire(Refusal::failed()));
  }
}

/// Gives a request to the model. Throws Refusal if its deadline has passed.
void RedisTaker::give(const RedisEntry& entry, RedisRequest request) {
  if (request.left_ms <= 0) throw Refusal::expired();
  request.inference.timeout_us = request.left_ms * 1000;
  InferenceRequest inference = std::move(request.inference);
  // What the answer depends on, without the inputs.
  request.inference = InferenceRequest{inference.model, inference.version, inference.id};
  request.inference.outputs = inference.outputs;
  const auto asked = std::make_shared<const RedisRequest>(std::move(request));
  backend_.infer(std::move(inference), [this, entry, asked](const InferenceOutcome& outcome) {
    finish(entry, outcome_text(outcome, *asked));
  });
}

bool RedisTaker::has_version(const InferenceRequest& request) const {
  try {
    return backend_.find(request.model, request.version) != nullptr;
  } catch (const Refusal&) {
    return false;
  }
}

bool RedisTaker::is_elsewhere(RedisConnection& redis, const std::string& version) const {
  try {
    for (const auto& [worker, models] : living_models(redis, names_, worker_)) {
      for (const auto& each : models) {
        if (each.name == model_ && each.version == version) return true;
      }
    }
    return false;
  } catch (const RedisLost&) {  // the request is taken already, so this can only wait
    return true;
  }
}

void RedisTaker::look_at_postponed() {
  const auto now = std::chrono::steady_clock::now();
  for (auto& each : std::exchange(postponed_, {})) {
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(now - each.since);
    if (!has_version(each.request.inference) && waited < kPostponeFor &&
        waited.count() < each.request.left_ms) {
      postponed_.push_back(std::move(each));
      continue;
    }
    each.request.left_ms -= waited.count();
    try {
      give(each.entry, std::move(each.request));
    } catch (const Refusal& refusal) {
      finish(each.entry, to_wire(refusal));
    }
  }
}

void RedisTaker::finish(const RedisEntry& entry, std::optional<std::string> text) {
  if (text) answers_.add(entry, std::move(*text));
  const std::lock_guard lock(mutex_);
  in_hand_.erase(entry.entry);
  // Under the lock: the destructor may end as soon as nothing is in hand.
  has_room_.notify_all();
}

bool RedisTaker::wait_for_room(int64_t most) {
  std::unique_lock lock(mutex_);
  while (!stop_.is_set()) {
    if (static_cast<int64_t>(in_hand_.size() - postponed_.size()) <= most) return true;
    has_room_.wait_for(lock, std::chrono::milliseconds(100));
  }
  return false;
}

}  // namespace levin
