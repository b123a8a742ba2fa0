#include <levin/serving/redis/redis_backend.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include <levin/framework/core/write_signals.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/redis/redis_front.h>
#include <levin/serving/redis/redis_models.h>
#include <levin/serving/redis/redis_registry.h>

namespace levin {

namespace {

constexpr std::chrono::seconds kObeyFor{10};  // in which model processes obey a command

}  // namespace

class RedisBackend::Implementation {
 public:
  explicit Implementation(RedisOptions options)
      : options_(checked_redis_options(std::move(options))),
        address_(parse_redis_url(options_.url)),
        names_{options_.prefix},
        news_(address_.text()),
        requests_(options_),
        models_(names_) {
    threads_.emplace_back([this] {
      keep_connected(
          address_, stop_,
          [this](RedisConnection& redis) {
            news_.found();
            requests_.send(redis, stop_);
          },
          [this](const std::string& reason) {
            requests_.set_sending(false);
            news_.lost(reason);
          });
    });
    threads_.emplace_back([this] {
      keep_connected(
          address_, stop_,
          [this](RedisConnection& redis) {
            requests_.receive(redis, stop_,
                              [this](std::string_view news_text) { models_.heed(news_text); });
          },
          [this](const std::string&) { requests_.set_receiving(false); });
    });
    threads_.emplace_back([this] {
      keep_connected(address_, stop_,
                     [this](RedisConnection& redis) { models_.follow(redis, stop_); });
    });
    threads_.emplace_back([this] {
      while (!stop_.wait_for(std::chrono::milliseconds(20))) requests_.expire();
    });
  }

  ~Implementation() {
    stop_.stop();
    requests_.wake();
    models_.wake();
    for (auto& thread : threads_) thread.join();
    requests_.refuse_all();
  }

  void infer(InferenceRequest request, Answer answer) {
    ModelMetadata model;
    try {
      model = models_.find(request.model, request.version);
      requests_.take(std::move(request), answer, [this, model](ModelStatistics::Reason reason) {
        models_.count_failure(model.name, model.version, reason);
      });
    } catch (const Refusal& refusal) {
      if (!model.name.empty()) {
        models_.count_failure(model.name, model.version, ModelStatistics::rejected);
      }
      answer(refusal);
    }
  }

  /// Publishes a command, and waits until the model processes have obeyed.
  void command(std::string_view what, std::string_view model) {
    if (model.find(' ') != std::string_view::npos) {
      throw Refusal::not_found("there is no such model");
    }
    try {
      RedisConnection redis(address_);
      redis.open();
      const std::string name = random_member_name();
      const size_t processes = living_models(redis, names_).size();
      const auto heard =
          redis.ask({"PUBLISH", names_.commands(), fmt::format("{} {} {}", what, model, name)});
      if (heard.integer <= 0) throw Refusal::unavailable("there is no model process");
      const auto results =
          wait_for_results(redis, name, std::min(processes, static_cast<size_t>(heard.integer)));
      models_.refresh(redis);
      throw_failure(results);
    } catch (const RedisLost&) {
      throw Refusal::unavailable("the queue can't be reached");
    }
  }

  /// Throws why a command failed in a process; that it doesn't have the model only if none has it.
  static void throw_failure(const std::vector<std::string>& results) {
    std::optional<Refusal> unknown;
    bool is_done = false;
    for (const auto& text : results) {
      if (text.empty()) {
        is_done = true;
        continue;
      }
      const auto outcome = outcome_from_wire(text);
      if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
        if (refusal->status() != 404) throw *refusal;
        unknown = *refusal;
      }
    }
    if (unknown && !is_done) throw *unknown;
  }

  std::vector<std::string> wait_for_results(RedisConnection& redis, const std::string& command,
                                            size_t count) const {
    const auto end = std::chrono::steady_clock::now() + kObeyFor;
    std::vector<std::string> results;
    while (results.size() < count) {
      RedisReply reply = redis.ask({"BLPOP", names_.obeyed(command), "1"});
      if (reply.elements.size() == 2) {
        results.push_back(std::move(reply.elements[1].text));
      } else if (std::chrono::steady_clock::now() > end) {
        throw Refusal::unavailable("the model processes haven't done it yet, but may still do it");
      }
    }
    return results;
  }

  bool is_ready() const { return requests_.is_ready() && models_.is_ready(); }

  FrontModels& models() { return models_; }
  FrontRequests& requests() { return requests_; }

 private:
  const NoWriteSignals signals_{};
  RedisOptions options_;
  RedisAddress address_;
  RedisNames names_;
  RedisNews news_;
  FrontRequests requests_;
  FrontModels models_;
  RedisStop stop_;
  std::vector<std::thread> threads_;
};

RedisBackend::RedisBackend(RedisOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(options))) {}

RedisBackend::~RedisBackend() = default;

void RedisBackend::infer(InferenceRequest request, Answer answer) {
  implementation_->infer(std::move(request), std::move(answer));
}

std::vector<ModelMetadata> RedisBackend::models() const {
  return implementation_->models().models();
}

bool RedisBackend::is_ready() const { return implementation_->is_ready(); }

std::vector<ModelStatistics> RedisBackend::statistics() const {
  return implementation_->models().statistics();
}

void RedisBackend::load(std::string_view model) { implementation_->command("load", model); }

void RedisBackend::unload(std::string_view model) { implementation_->command("unload", model); }

void RedisBackend::drain() { implementation_->requests().drain(); }

}  // namespace levin
