#include <levin/serving/models/local_backend.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <c10/core/Device.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>
#include <levin/serving/backend/capacity.h>
#include <levin/serving/models/served_source.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

constexpr auto kTidyEach = std::chrono::milliseconds(100);
constexpr int kTidiesALook = 10;

void require_least(const char* option, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(option, fmt::format("{}", value),
                                   fmt::format("must be at least {}", least));
}

at::Device serving_device(const std::string& name) {
  const auto devices = available_devices();
  const auto known = [&] {
    std::string text;
    for (const auto& device : devices) text += (text.empty() ? "" : ", ") + device.str();
    return text;
  };
  for (const auto& device : devices) {
    if (device.str() == name || (name == "cuda" && device.is_cuda())) return device;
  }
  throw ConfigError::no_such_device(name, known());
}

/// Names are parts of addresses.
void check_model_name(const std::string& name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (std::all_of(name.begin(), name.end(), is_plain)) return;
  throw ConfigError::invalid_value("the name of a model", name,
                                   "must consist of letters, digits, '_', '-' and '.'");
}

/// Why a version of a model can't be asked: no version is loaded (503), or not this one (404).
Refusal no_such_version(const ServedSource& source) {
  return source.find("") == nullptr ? Refusal::unavailable("the model isn't loaded")
                                    : Refusal::not_found("the model has no such version");
}

}  // namespace

void validate(const LocalBackendOptions& options) {
  require_least("batch", options.max_batch, 1);
  require_least("memory", options.memory, 1);
  require_least("queue", options.max_queue, 0);
  require_least("model_threads", options.threads, 1);
  if (!(options.delay_ms >= 0.0 && std::isfinite(options.delay_ms))) {
    throw ConfigError::invalid_value("delay", fmt::format("{}", options.delay_ms),
                                     "must be 0 or more");
  }
  if (!(options.replaced_for >= 0.0 && options.replaced_for <= 86400.0)) {
    throw ConfigError::invalid_value("replaced_for", fmt::format("{}", options.replaced_for),
                                     "must be from 0 to 86400 seconds");
  }
  if (!(options.timeout > 0.0 && std::isfinite(options.timeout))) {
    throw ConfigError::invalid_value("timeout", fmt::format("{}", options.timeout),
                                     "must be above 0");
  }
}

class LocalBackend::Implementation {
 public:
  Implementation(const Registry& registry, std::vector<ModelSource> sources,
                 const LocalBackendOptions& options)
      : options_(options), memory_(options.memory), registry_(registry) {
    validate(options);
    if (sources.empty()) throw ConfigError("there is no model to serve; name a checkpoint");
    const at::Device device = serving_device(options.device);
    for (auto& source : sources) {
      check_model_name(source.name);
      auto served =
          std::make_unique<ServedSource>(registry_, std::move(source), options_, device, memory_);
      const std::string name = served->name();
      if (!sources_.emplace(name, std::move(served)).second) {
        throw ConfigError::conflict(fmt::format("two models are called '{}'", name),
                                    "give them other names: NAME=PATH");
      }
    }
    watch_ = std::thread([this] { watch(); });
  }

  ~Implementation() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    ending_.notify_all();
    if (watch_.joinable()) watch_.join();
  }

  ServedSource* find(std::string_view name) const {
    const auto found = sources_.find(name);
    return found == sources_.end() ? nullptr : found->second.get();
  }
  ServedSource& at(std::string_view name) const {
    auto* source = find(name);
    if (source == nullptr) throw Refusal::not_found("there is no such model");
    return *source;
  }

  void infer(InferenceRequest request, Answer answer) {
    if (is_draining_) return answer(Refusal::unavailable("the server is ending"));
    const auto* source = find(request.model);
    if (source == nullptr) return answer(Refusal::not_found("there is no such model"));
    while (true) {
      const auto worker = source->find(request.version);
      if (worker == nullptr) return answer(no_such_version(*source));
      if (worker->push(request, answer)) return;
    }
  }

  std::shared_ptr<const ModelMetadata> find_metadata(std::string_view name,
                                                     std::string_view version) const {
    if (name.empty() && sources_.size() > 1) throw no_model_is_named();
    const auto& source = name.empty() ? *sources_.begin()->second : at(name);
    if (auto worker = source.find(version)) return {worker, &worker->metadata()};
    throw no_such_version(source);
  }

  template <class Visit>
  void for_each_version(const Visit& visit) const {
    for (const auto& [name, source] : sources_) {
      for (const auto& worker : source->versions()) visit(*worker);
    }
  }

  std::vector<std::string> unloaded() const {
    std::vector<std::string> names;
    for (const auto& [name, source] : sources_) {
      if (source->versions().empty()) names.push_back(name);
    }
    return names;
  }

  bool is_ready() const {
    return !is_draining_ && std::all_of(sources_.begin(), sources_.end(),
                                        [](const auto& entry) { return entry.second->is_ready(); });
  }
  void drain() { is_draining_ = true; }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    for (int tidies = 1; !ending_.wait_for(lock, kTidyEach, [this] { return is_ending_; });
         ++tidies) {
      lock.unlock();
      const bool looks = options_.reload && tidies % kTidiesALook == 0;
      for (const auto& [name, source] : sources_) {
        if (looks) source->refresh();
        source->tidy();
      }
      lock.lock();
    }
  }

  const LocalBackendOptions options_;
  MemoryBudget memory_;
  const Registry registry_;
  std::map<std::string, std::unique_ptr<ServedSource>, std::less<>> sources_;
  std::atomic<bool> is_draining_{false};
  std::mutex mutex_;
  std::condition_variable ending_;
  bool is_ending_ = false;
  std::thread watch_;
};

LocalBackend::LocalBackend(const Registry& registry, std::vector<ModelSource> sources,
                           LocalBackendOptions options)
    : implementation_(std::make_unique<Implementation>(registry, std::move(sources), options)) {}

LocalBackend::~LocalBackend() = default;

void LocalBackend::infer(InferenceRequest request, Answer answer) {
  implementation_->infer(std::move(request), std::move(answer));
}

std::vector<ModelMetadata> LocalBackend::models() const {
  std::vector<ModelMetadata> result;
  implementation_->for_each_version(
      [&](const ModelWorker& worker) { result.push_back(worker.metadata()); });
  return result;
}

std::vector<std::string> LocalBackend::unloaded() const { return implementation_->unloaded(); }

std::shared_ptr<const ModelMetadata> LocalBackend::find(std::string_view name,
                                                        std::string_view version) const {
  return implementation_->find_metadata(name, version);
}

bool LocalBackend::is_ready() const { return implementation_->is_ready(); }

std::vector<ModelStatistics> LocalBackend::statistics() const {
  std::vector<ModelStatistics> result;
  implementation_->for_each_version(
      [&](const ModelWorker& worker) { result.push_back(worker.statistics()); });
  return result;
}

void LocalBackend::load(std::string_view model) {
  if (!implementation_->at(model).load()) {
    throw Refusal(500, "the newest checkpoint of the model can't be loaded");
  }
}

void LocalBackend::unload(std::string_view model) { implementation_->at(model).unload(); }

void LocalBackend::drain() { implementation_->drain(); }

}  // namespace levin
