#include <levin/serving/redis/redis_front.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/serving/protocol/infer_messages.h>

namespace levin {
namespace {

constexpr size_t kMostAtOnce = 128;
constexpr std::chrono::milliseconds kQuiet{500};  // then Redis is asked whether it is there

// What a model process has written; others may write there, too.
InferenceOutcome outcome_of(const std::string& text) {
  try {
    return outcome_from_wire(text);
  } catch (const Refusal&) {
    return Refusal::failed();
  }
}

std::string_view after(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start ? text.substr(start.size()) : std::string_view();
}

}  // namespace

RedisOptions checked_redis_options(RedisOptions options) {
  const auto positive = [](std::string_view name, double value) {
    if (value > 0 && std::isfinite(value)) return;
    throw ConfigError::invalid_value(name, fmt::format("{}", value), "must be above 0");
  };
  positive("result_expiry", options.result_expiry);
  positive("claim_after", options.claim_after);
  positive("timeout", options.timeout);
  positive("max_queue", static_cast<double>(options.max_queue));
  positive("memory", static_cast<double>(options.memory));
  if (options.prefix.empty()) {
    throw ConfigError::invalid_value("prefix", "", "must have at least one character");
  }
  return options;
}

FrontRequests::FrontRequests(const RedisOptions& options)
    : options_(options),
      names_{options.prefix},
      front_(random_member_name()),
      channel_(names_.front(front_)) {}

void FrontRequests::take(InferenceRequest request, Backend::Answer answer, Failed failed) {
  if (is_draining_) throw Refusal::unavailable("the server is ending");
  if (!is_sending_ || !is_receiving_) throw Refusal::unavailable("the queue can't be reached");
  double seconds = options_.timeout;
  if (request.timeout_us) {
    seconds = std::min(seconds, static_cast<double>(*request.timeout_us) * 1e-6);
  }
  auto content = std::make_shared<Content>();
  content->body = to_wire(request);
  content->model = std::move(request.model);
  content->deadline =
      unix_milliseconds() + static_cast<int64_t>(std::ceil(std::max(seconds, 0.0) * 1000));
  const auto bytes = static_cast<int64_t>(content->body.size());
  if (bytes > options_.memory) {
    throw Refusal::too_large("the inputs are larger than the memory of the server");
  }
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + bytes > options_.memory) {
      throw Refusal::overloaded("too many requests wait; try again later", 1);
    }
    const Number number = ++next_;
    content->id = fmt::format("{}-{}", front_, number);
    bytes_ += bytes;
    deadlines_.emplace(content->deadline, number);
    waiting_.emplace(number, Waiting{std::move(content), std::move(request.id), std::move(answer),
                                     std::move(failed)});
    outgoing_.push_back(number);
  }
  has_outgoing_.notify_one();
}

void FrontRequests::send(RedisConnection& redis, RedisStop& stop) {
  const std::string script = redis.load_script(kPushScript);
  int64_t ahead = redis.clock_ahead();
  auto asked = std::chrono::steady_clock::now();
  send_again();
  is_sending_ = true;
  while (!stop.is_set()) {
    const auto batch = next_to_send(stop);
    // Also shows whether Redis is still there while no requests come.
    if (std::chrono::steady_clock::now() - asked > std::chrono::seconds(1)) {
      ahead = redis.clock_ahead();
      asked = std::chrono::steady_clock::now();
    }
    send_all(redis, batch, script, ahead);
  }
}

std::vector<FrontRequests::Sent> FrontRequests::next_to_send(const RedisStop& stop) {
  std::vector<Sent> batch;
  std::unique_lock lock(mutex_);
  has_outgoing_.wait_for(lock, kQuiet, [&] { return stop.is_set() || !outgoing_.empty(); });
  while (!outgoing_.empty() && batch.size() < kMostAtOnce) {
    const Number number = outgoing_.front();
    outgoing_.pop_front();
    if (const auto found = waiting_.find(number); found != waiting_.end()) {
      batch.emplace_back(number, found->second.content);
    }
  }
  return batch;
}

void FrontRequests::send_all(RedisConnection& redis, const std::vector<Sent>& batch,
                             std::string_view script, int64_t clock_ahead) {
  const std::string most = std::to_string(options_.max_queue);
  for (const auto& [number, content] : batch) {
    const int64_t left = std::max<int64_t>(content->deadline - unix_milliseconds(), 0) + 1000;
    redis.append({"EVALSHA", script, "3", names_.requests(content->model),
                  names_.waiting(content->id), names_.result(content->id), most,
                  std::to_string(left), "id", content->id, "front", front_, "deadline",
                  std::to_string(content->deadline + clock_ahead), "body", content->body});
  }
  for (const auto& [number, content] : batch) {
    const RedisReply reply = redis.read();
    if (reply.is_text()) {
      complete(number, outcome_of(reply.text), ModelStatistics::other);
    } else if (reply.is_error()) {
      complete(number, Refusal::unavailable("the queue takes no requests now"),
               ModelStatistics::rejected);
    } else if (reply.integer == 0) {
      complete(number, Refusal::overloaded("too many requests wait; try again later", 1),
               ModelStatistics::rejected);
    }
  }
}

void FrontRequests::send_again() {
  {
    const std::lock_guard lock(mutex_);
    outgoing_.clear();
    for (const auto& [number, request] : waiting_) outgoing_.push_back(number);
  }
  has_outgoing_.notify_one();
}

void FrontRequests::receive(RedisConnection& redis, RedisStop& stop,
                            const std::function<void(std::string_view)>& heed) {
  redis.ask({"SUBSCRIBE", channel_});
  redis.ask({"SUBSCRIBE", names_.updates()});
  is_receiving_ = true;
  send_again();  // for answers that were published before
  read_messages(redis, stop, [&](std::string_view channel, std::string_view text) {
    channel == channel_ ? heed_answer(text) : heed(text);
  });
}

void FrontRequests::heed_answer(std::string_view text) {
  const size_t line = text.find('\n');
  if (line == std::string_view::npos) return;
  const std::string_view id = after(text.substr(0, line), front_ + "-");
  const auto number = number_in<Number>(id);
  if (!number) return;
  complete(*number, outcome_of(std::string(text.substr(line + 1))), ModelStatistics::other);
}

void FrontRequests::wake() {
  const std::lock_guard lock(mutex_);
  has_outgoing_.notify_all();
}

void FrontRequests::expire() {
  const int64_t now = unix_milliseconds();
  while (true) {
    std::optional<Number> expired;
    {
      const std::lock_guard lock(mutex_);
      if (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        expired = deadlines_.begin()->second;
      }
    }
    if (!expired) return;
    complete(*expired, Refusal::expired(), ModelStatistics::rejected);
  }
}

void FrontRequests::refuse_all() {
  is_draining_ = true;
  while (true) {
    std::optional<Number> first;
    {
      const std::lock_guard lock(mutex_);
      if (!waiting_.empty()) first = waiting_.begin()->first;
    }
    if (!first) return;
    complete(*first, Refusal::unavailable("the server is ending"), ModelStatistics::other);
  }
}

void FrontRequests::complete(Number number, InferenceOutcome outcome,
                             ModelStatistics::Reason reason) {
  Waiting done;
  {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(number);
    if (found == waiting_.end()) return;  // answered before, or its deadline has passed
    done = std::move(found->second);
    waiting_.erase(found);
    deadlines_.erase({done.content->deadline, number});
    bytes_ -= static_cast<int64_t>(done.content->body.size());
  }
  // Model processes count what they refuse.
  if (std::holds_alternative<Refusal>(outcome) && reason != ModelStatistics::other) {
    done.failed(reason);
  }
  if (auto* response = std::get_if<InferenceResponse>(&outcome)) response->id = done.client_id;
  done.answer(std::move(outcome));
}

}  // namespace levin
