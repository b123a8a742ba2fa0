#include <levin/serving/redis/redis_backend.h>

#include <thread>
#include <utility>

#include <levin/framework/core/write_signals.h>
#include <levin/serving/redis/redis_front.h>
#include <levin/serving/redis/redis_models.h>

namespace levin {

class RedisBackend::Implementation {
 public:
  explicit Implementation(RedisOptions options)
      : options_(checked_redis_options(std::move(options))),
        address_(parse_redis_url(options_.url)),
        names_{options_.prefix},
        news_(address_.text()),
        requests_(options_),
        models_(names_) {
    const auto news = [this](const std::string& reason) { news_.lost(reason); };
    const auto quiet = [](const std::string&) {};
    threads_.emplace_back([this, news] {
      keep_connected(
          address_, stop_,
          [this](RedisConnection& redis) {
            news_.found();
            requests_.send(redis, stop_);
          },
          [this, news](const std::string& reason) {
            requests_.set_sending(false);
            news(reason);
          });
    });
    threads_.emplace_back([this, quiet] {
      keep_connected(
          address_, stop_,
          [this](RedisConnection& redis) {
            requests_.receive(redis, stop_,
                              [this](std::string_view news_text) { models_.heed(news_text); });
          },
          [this, quiet](const std::string& reason) {
            requests_.set_receiving(false);
            quiet(reason);
          });
    });
    threads_.emplace_back([this, quiet] {
      keep_connected(
          address_, stop_, [this](RedisConnection& redis) { models_.follow(redis, stop_); }, quiet);
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

  void command(std::string_view what, std::string_view model) {
    try {
      RedisConnection redis(address_);
      redis.open();
      const std::string text = std::string(what) + " " + std::string(model);
      const RedisReply heard = redis.ask({"PUBLISH", names_.commands(), text});
      if (heard.integer > 0) return;
    } catch (const RedisLost&) {
      throw Refusal::unavailable("the queue can't be reached");
    }
    throw Refusal::unavailable("there is no model process");
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
