#include <levin/serving/redis/redis_backend.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/write_signals.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/redis/redis_answers.h>
#include <levin/serving/redis/redis_front.h>
#include <levin/serving/redis/redis_registry.h>
#include <levin/serving/redis/redis_taker.h>

namespace levin {
namespace {

// Answers that Redis doesn't take within this time are left to other model processes.
constexpr std::chrono::seconds kLastAnswers{5};
constexpr std::chrono::milliseconds kStatistics{500};  // from one writing to the next
constexpr std::chrono::milliseconds kModelsLook{20};   // from one look at the models to the next
// For so long after a model was unloaded, its requests are taken and refused: the first time at
// least, because front ends don't know it yet, and the second at most, if they are many.
constexpr std::chrono::seconds kRefuseUnloaded{2};
constexpr std::chrono::seconds kRefuseUnloadedMost{60};
constexpr std::string_view kKeepObeyed = "60000";  // milliseconds

using ModelVersions = std::set<std::pair<std::string, std::string>>;

ModelVersions versions_of(const std::vector<ModelMetadata>& models) {
  ModelVersions versions;
  for (const auto& model : models) versions.emplace(model.name, model.version);
  return versions;
}

}  // namespace

class RedisWorker::Implementation {
 public:
  Implementation(RedisOptions options, Backend& models, int64_t batch)
      : options_(checked_redis_options(std::move(options))),
        address_(parse_redis_url(options_.url)),
        names_{options_.prefix},
        id_(random_member_name()),
        backend_(models),
        batch_(batch),
        news_(address_.text()),
        answers_(names_, options_.result_expiry) {
    if (batch_ < 1) {
      throw ConfigError::invalid_value("batch", std::to_string(batch_), "must be at least 1");
    }
    keeper_ = std::thread([this] {
      keep_connected(
          address_, stop_, [this](RedisConnection& redis) { keep(redis); },
          [this](const std::string& reason) { news_.lost(reason); });
    });
    writer_ = std::thread([this] {
      keep_connected(address_, writer_stop_,
                     [this](RedisConnection& redis) { answers_.write(redis, writer_stop_); });
    });
    listener_ = std::thread([this] {
      keep_connected(address_, stop_, [this](RedisConnection& redis) { listen(redis); });
    });
  }

  // The keeper shows signs of life until everything that was taken is answered.
  ~Implementation() {
    stop_.stop();
    listener_.join();
    keeper_.join();
    takers_.clear();  // if Redis couldn't be reached, the keeper has left them
    const auto end = std::chrono::steady_clock::now() + kLastAnswers;
    while (!answers_.is_empty() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    writer_stop_.stop();
    writer_.join();
    leave();
  }

 private:
  void keep(RedisConnection& redis) {
    news_.found();
    const auto period = std::chrono::milliseconds(
        static_cast<int64_t>(std::clamp(options_.claim_after * 250, 5.0, 500.0)));
    ModelVersions published;
    auto next_statistics = std::chrono::steady_clock::now();
    while (true) {
      const auto obeyed = take_obeyed();
      show_life(redis, published);
      for (const auto& [command, text] : obeyed) acknowledge(redis, command, text);
      if (std::chrono::steady_clock::now() >= next_statistics) {
        write_statistics(redis);
        forget_dead(redis);
        next_statistics = std::chrono::steady_clock::now() + kStatistics;
      }
      if (wait_for_change(period, published)) break;
    }
    end_takers(redis);
    write_statistics(redis);
  }

  /// Waits for `period`, or until there are other models than were published or a command was
  /// obeyed. Returns whether the thread is to end.
  bool wait_for_change(std::chrono::milliseconds period, const ModelVersions& published) {
    for (auto left = period; left.count() > 0; left -= kModelsLook) {
      if (stop_.wait_for(std::min(left, kModelsLook))) return true;
      if (has_obeyed() || versions_of(backend_.models()) != published) return false;
    }
    return stop_.is_set();
  }

  // Waiting for what is in hand takes a while, in which this process must not look dead.
  void end_takers(RedisConnection& redis) {
    std::atomic<bool> has_ended = false;
    std::thread ending([this, &has_ended] {
      takers_.clear();
      has_ended = true;
    });
    try {
      while (!has_ended) {
        redis.ask({"SET", names_.worker(id_), "1", "PX", expiry()});
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    } catch (const RedisLost&) {  // then its requests may be taken by others, and are answered once
    }
    ending.join();
  }

  void show_life(RedisConnection& redis, ModelVersions& published) {
    const auto models = backend_.models();
    redis.append({"SET", names_.worker(id_), "1", "PX", expiry()});
    redis.append({"HSET", names_.workers(), id_, models_json(models)});
    for (int i = 0; i < 2; ++i) redis.read();
    const ModelVersions versions = versions_of(models);
    for (const auto& [model, version] : versions) {
      if (published.count({model, version}) == 0) tell(redis, "loaded", model, version);
    }
    for (const auto& [model, version] : published) {
      if (versions.count({model, version}) == 0) tell(redis, "unloaded", model, version);
    }
    published = versions;
    std::set<std::string> names;
    for (const auto& model : models) names.insert(model.name);
    end_takers_of_others(redis, names);
    for (const auto& name : names) {
      auto& taker = takers_[name];
      if (taker != nullptr) continue;
      taker = std::make_unique<RedisTaker>(options_, id_, name, backend_, answers_, batch_);
    }
  }

  /// Ends the takers of models that were unloaded: at once if another process has the model, and
  /// otherwise when all its requests are refused, so that none of them stays in Redis.
  void end_takers_of_others(RedisConnection& redis, const std::set<std::string>& names) {
    const auto now = std::chrono::steady_clock::now();
    for (auto taker = takers_.begin(); taker != takers_.end();) {
      const std::string& name = taker->first;
      if (names.count(name) > 0) {
        unloaded_.erase(name);
        ++taker;
        continue;
      }
      const auto since = now - unloaded_.emplace(name, now).first->second;
      const bool is_refused =
          since > kRefuseUnloaded && redis.ask({"XLEN", names_.requests(name)}).integer == 0;
      if (is_refused || since > kRefuseUnloadedMost || is_elsewhere(redis, name)) {
        unloaded_.erase(name);
        taker = takers_.erase(taker);
      } else {
        ++taker;
      }
    }
  }

  bool is_elsewhere(RedisConnection& redis, const std::string& model) const {
    for (const auto& [worker, models] : living_models(redis, names_, id_)) {
      for (const auto& each : models) {
        if (each.name == model) return true;
      }
    }
    return false;
  }

  void tell(RedisConnection& redis, std::string_view what, const std::string& model,
            const std::string& version) {
    redis.ask({"PUBLISH", names_.updates(), fmt::format("{} {} {}", what, model, version)});
  }

  // Adds to the counters in Redis what has been added to those of this process since the last time.
  void write_statistics(RedisConnection& redis) {
    size_t commands = 0;
    for (const auto& now : backend_.statistics()) {
      ModelStatistics& last = written_[{now.model, now.version}];
      // Counters that are lower begin anew: the version was loaded again.
      if (now.success < last.success) last = ModelStatistics{};
      const auto add = [&](std::string_view counter, uint64_t value, uint64_t before) {
        if (value <= before) return;
        redis.append(
            {"HINCRBY", names_.statistics(), field(now, counter), std::to_string(value - before)});
        ++commands;
      };
      for (const auto& counter : statistics_counters()) {
        add(counter.name, now.*counter.value, last.*counter.value);
      }
      for (size_t reason = 0; reason < now.failure.size(); ++reason) {
        add(fmt::format("failure{}", reason), now.failure[reason], last.failure[reason]);
      }
      if (now.last_inference_ms != last.last_inference_ms) {
        redis.append({"HSET", names_.statistics(), field(now, "last_inference_ms"),
                      std::to_string(now.last_inference_ms)});
        ++commands;
      }
      const auto load_ms = std::to_string(std::llround(now.load_seconds * 1000));
      redis.append({"HSET", names_.statistics(), field(now, "load_ms"), load_ms});
      ++commands;
      last = now;
    }
    for (size_t i = 0; i < commands; ++i) redis.read();
  }

  static std::string field(const ModelStatistics& of, std::string_view counter) {
    return fmt::format("{}\n{}\n{}", of.model, of.version, counter);
  }

  void forget_dead(RedisConnection& redis) {
    const auto workers = redis.ask({"HKEYS", names_.workers()});
    for (const auto& each : workers.elements) {
      if (each.text == id_ || redis.ask({"EXISTS", names_.worker(each.text)}).integer == 1)
        continue;
      redis.ask({"HDEL", names_.workers(), each.text});
    }
  }

  void listen(RedisConnection& redis) {
    redis.ask({"SUBSCRIBE", names_.commands()});
    read_messages(redis, stop_,
                  [this](std::string_view, std::string_view command) { obey(command); });
  }

  /// Does what "load MODEL [NAME]" says; NAME is that under which the sender looks for the result.
  void obey(std::string_view command) {
    auto next_word = [rest = command]() mutable {
      const std::string_view word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(word.size() + 1, rest.size()));
      return word;
    };
    const std::string_view what = next_word();
    const std::string_view model = next_word();
    const std::string_view name = next_word();
    std::string result;
    try {
      if (what == "load" || what == "reload") {
        backend_.load(model);
      } else if (what == "unload") {
        backend_.unload(model);
      } else {
        diagnostics::print(fmt::format(
            "'{}' was published on {}; expected load MODEL, reload MODEL or unload MODEL\n",
            shortened(command), names_.commands()));
      }
    } catch (const std::exception& error) {
      diagnostics::print(fmt::format("'{} {}', which was published on {}, failed: {}\n", what,
                                     shortened(model), names_.commands(), error.what()));
      const auto* refusal = dynamic_cast<const Refusal*>(&error);
      result = to_wire(refusal == nullptr ? Refusal::failed() : *refusal);
    }
    if (name.empty()) return;
    const std::lock_guard lock(mutex_);
    obeyed_.emplace_back(name, std::move(result));
  }

  /// What became of commands since the last time.
  std::vector<std::pair<std::string, std::string>> take_obeyed() {
    const std::lock_guard lock(mutex_);
    return std::exchange(obeyed_, {});
  }
  bool has_obeyed() const {
    const std::lock_guard lock(mutex_);
    return !obeyed_.empty();
  }
  void acknowledge(RedisConnection& redis, const std::string& command, const std::string& text) {
    const std::string key = names_.obeyed(command);
    redis.append({"RPUSH", key, text});
    redis.append({"PEXPIRE", key, kKeepObeyed});
    for (int i = 0; i < 2; ++i) redis.read();
  }

  void leave() {
    try {
      RedisConnection redis(address_);
      redis.open();
      redis.ask({"HDEL", names_.workers(), id_});
      redis.ask({"DEL", names_.worker(id_)});
    } catch (const RedisLost&) {  // its signs of life expire
    }
  }

  std::string expiry() const {
    return fmt::format("{:.0f}", std::max(options_.claim_after * 1000, 1.0));
  }

  const NoWriteSignals signals_{};
  const RedisOptions options_;
  const RedisAddress address_;
  const RedisNames names_;
  const std::string id_;
  Backend& backend_;
  const int64_t batch_;
  RedisNews news_;
  WorkerAnswers answers_;
  std::map<std::string, std::unique_ptr<RedisTaker>> takers_;  // of the keeper
  // Models that have a taker, but were unloaded, and since when; of the keeper, too.
  std::map<std::string, std::chrono::steady_clock::time_point> unloaded_;
  std::map<std::pair<std::string, std::string>, ModelStatistics> written_;
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::string>> obeyed_;  // commands and their results
  RedisStop stop_;
  RedisStop writer_stop_;
  std::thread keeper_;
  std::thread writer_;
  std::thread listener_;
};

RedisWorker::RedisWorker(RedisOptions options, Backend& models, int64_t batch)
    : implementation_(std::make_unique<Implementation>(std::move(options), models, batch)) {}

RedisWorker::~RedisWorker() = default;

}  // namespace levin
